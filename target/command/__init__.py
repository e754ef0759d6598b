"""External targets: a directory with a file to edit, a command to run, and a number that the command prints.

Lives here: the target, its settings, its evaluator, the copy of the directory, and the reading of the number.
May be used by: Hydra, which builds the target by name, and targets that compute the number themselves (`score`).
Trusts: the directory until a candidate runs in a copy of it. A number that the program reports is not verified.
"""
