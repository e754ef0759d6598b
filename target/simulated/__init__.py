"""Targets that compute a score instead of training: a synthetic landscape, and a model of recorded trainings.

Lives here: both targets, their common parts, and the reader of recorded trainings.
May be used by: Hydra, benchmarks and tests. Import its modules one by one: some need scikit-learn.
Trusts: its input. No line of a program is run.
"""
