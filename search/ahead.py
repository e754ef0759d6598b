"""`propose_ahead: null`: how many programs a search has ready for each slot while it trains."""

from __future__ import annotations

from target.base import Target


class Pace:
    """Learns from the operators of a search whether one of them takes long."""

    def __init__(self) -> None:
        self.is_slow = False

    def slow(self) -> None:
        """Note that an operator takes a noticeable part of a training for a program."""
        self.is_slow = True


def ahead_per_slot(target: Target, *, slow_operator: bool) -> int:
    """Return how many programs are made ahead for each slot, unless `propose_ahead` says otherwise.

    A program that is made ahead is made without the result of the training under way, which costs some quality. It
    pays where a slot would wait otherwise: for the pre-flight, on a target that says so (`ahead_per_slot`), or for an
    operator that asks a model or runs an agent. It does not pay with an operator that answers at once on a target whose
    pre-flight shares the cores with a timed training, nor on a target where no time passes.

    Args:
        target: The target.
        slow_operator: Whether an operator of the search takes a noticeable part of a training.
    """
    return target.ahead_per_slot or int(slow_operator and target.kind is not None)
