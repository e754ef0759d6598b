"""The trusted score. It owns the secrets (held-out rows, targets, seeds) and runs no candidate code.

Lives here: the scorer, the probes, and the scorer's side of a model server.
May be used by: the stages of an evaluation. It never imports `inside`; it talks to it through `boundary`.
Trusts: its own memory only. Logits are copied before they are read, and each answer of a model server is checked.
"""

from target.scoring.measure import Text, measure_served

__all__ = ["Text", "measure_served"]
