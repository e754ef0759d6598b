"""MLflow as a mirror of a search: what is sent, how it can be sent twice without harm, and the thread that sends it."""
