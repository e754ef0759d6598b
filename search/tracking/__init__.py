"""What every mirror of a search needs: the records that it is sent, and the thread that sends them."""
