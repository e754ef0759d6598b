"""Two small regression models: a Gaussian process and extremely randomised trees.

Lives here: arithmetic on arrays. No files, no clock, no programs.
May be used by: the surrogate target and `operator=tune`.
Trusts: that numbers are finite, which the callers check.
"""
