"""The operator `agent`: the user's coding agent edits the file, in a scratch directory and within limits.

The package exports nothing: `lifeline` is the main module of a separate process, which must start fast.
"""
