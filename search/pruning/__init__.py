"""When a training is stopped before its end: `base` is the seam, `champion` our rule, `study` Optuna's pruners.

`plan` decides what all rules share: which trainings may be stopped at all, and which are audited. Everything here is a
pure function of the trials; nothing reads a clock or a file. docs/pruning.md describes it for users.
"""
