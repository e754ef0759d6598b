"""Comparison of searches: which arm of a sweep is better, and how surely."""
