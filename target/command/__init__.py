"""External targets: a directory with a file to edit, a command to run, and a number that the command prints.

Lives here: the target, its settings, its evaluator, the copy of the directory, and the reading of the number.
May be used by: Hydra, which builds the target by name. Import its modules one by one.
Trusts: the directory until a candidate runs in a copy of it. The number is reported by the program and not verified.
"""
