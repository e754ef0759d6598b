"""The operator `agent`: a coding agent of the user edits the file, in a scratch directory and within limits.

The room exports nothing: `lifeline` is the first thing in a process of its own, which must start at once.
"""
