"""Import of an autoresearch branch: its table and its commits become the first trials of a search."""
