"""Two small regression models: a Gaussian process and extremely randomised trees.

Lives here: arithmetic on arrays. No file, no clock, no program.
May be used by: the surrogate target and `operator=tune`.
Trusts: finite numbers, which the callers check.
"""
