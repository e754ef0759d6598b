"""The checks of `python -m search.doctor`: one function per check, which handles the errors that it can meet."""
