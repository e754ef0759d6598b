"""What kind of program a target has, in the words that prompts use to say what can be changed about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A kind of program.

    Attributes:
        tried: What happens to a program in a trial, as a participle.
        work: What can be made faster.
        changes: What may change besides constants, as a list with `and`.
        leaps: Examples of what is far from the present program, as a list with `or`.
        evidence: What tells how good the present program is, as a list.
        limits: What may limit it, as a list.
    """

    tried: str
    work: str
    changes: str
    leaps: str
    evidence: str
    limits: str


NETWORK: Final = Subject(
    tried="trained",
    work="training",
    changes="the architecture, the optimiser, the schedule and the throughput",
    leaps="another architecture of the block, another optimiser, another objective or order of training, or another "
    "use of the time",
    evidence="the loss curve, what each earlier change did, what failed",
    limits="optimisation, capacity, throughput, schedule, numerics",
)
"""A script that trains a neural network."""

PROGRAM: Final = Subject(
    tried="run",
    work="the program",
    changes="the method, the representation of the data, the order of the steps and the use of the time",
    leaps="another method, another representation of the data, another order of the steps, or another use of the time",
    evidence="what each earlier change did, what failed",
    limits="the method, wasted work, the use of the time, an assumption about the data, numerics",
)
"""Any program with a score."""
