"""The doctor: whether a search can run on this machine, and if not, what to do about it."""
