"""What `python -m search.doctor` checks: one function a check, each naming the errors that it can meet."""
