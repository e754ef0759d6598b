"""The command `graft`: starts the other commands by name, explains the settings, and completes words for a shell.

Imports neither torch nor a ledger: the help of a command line must not wait for them.
"""
