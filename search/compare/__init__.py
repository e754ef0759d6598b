"""Comparison of searches: which arm of a sweep is better, and with what confidence."""
