"""The settings of a search."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from operators.base import NOTHING_NEW, Operator
from operators.population import Population
from operators.rest import Rest
from operators.trial import Proposal, Trial
from search.acceptance import Acceptance
from search.budget import Budget
from search.errors import UserError
from search.gates import NO_GATES, Gates
from search.pruning.plan import Pruning
from search.strategies.base import Strategy
from target.program import Program
from target.stopping import StopRule

NOTHING_TO_PROPOSE: Final = "nothing new to propose"
THE_SAME: Final = "the same program as"
"""How the reason of a trial begins whose program was made before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a search.

    Attributes:
        name: Its name.
        strategy_name: Name of its strategy.
        seed: Seeds the strategy, the operator and the trainings.
        seed_program: Trial 0.
        strategy: Decides what to mutate.
        operator: Mutates, unless the strategy asks for another operator.
        gates: Limits on figures of programs.
        extra_operators: Operators that the strategy may ask for, by name.
        acceptance: Decides which program is better.
        budget: When to stop.
        propose_ahead: Programs that may be made while all slots are busy; None for `ahead_per_slot` of each slot.
        max_failures: Stop after this many trials in a row that produced nothing to train.
        ahead_per_slot: Number of programs per slot that suits the target and the operators (`search.ahead`).
        pruning: Decides which trainings are stopped early.
        curve_seconds: Time of a training by the clock of its loss curve; None if the target has no curve.
        rest: Where operators wait for their providers.
        seed_variable: Where a program should read the seed of its training; empty if it cannot miss it.
    """

    name: str
    strategy_name: str
    seed: int
    seed_program: Program
    strategy: Strategy
    operator: Operator
    acceptance: Acceptance
    budget: Budget
    propose_ahead: int | None
    max_failures: int
    ahead_per_slot: int = 0
    pruning: Pruning = field(default_factory=Pruning)
    curve_seconds: float | None = None
    gates: Gates = NO_GATES
    extra_operators: Mapping[str, Operator] = field(default_factory=dict)
    rest: Rest = field(default_factory=Rest)
    seed_variable: str = ""

    def programs_ahead(self, slots: int) -> int:
        """Return how many programs may be made while that many slots are busy."""
        return slots * self.ahead_per_slot if self.propose_ahead is None else self.propose_ahead

    def stuck_reason(self, decided: Sequence[Trial]) -> str:
        """Return why a search cannot go on that `is_stuck`, or an empty text.

        It begins with `NOTHING_TO_PROPOSE` if every one of its last trials would have been a repetition: all programs
        that its operators can make have been tried.
        """
        if not self.is_stuck(decided):
            return ""
        last = [trial for trial in decided if not trial.imported][-self.max_failures :]
        many = f"{self.max_failures} trials in a row"
        if all((trial.detail or "").startswith((NOTHING_NEW, THE_SAME)) for trial in last):
            return f"{NOTHING_TO_PROPOSE}: {many} made no new program; the last: {last[-1].detail}"
        return f"{many} produced nothing to train; the last: {last[-1].detail}"

    def stop_rule(self, trial: Trial, population: Population) -> StopRule | None:
        """Return when the next training of a trial is stopped early; None for never."""
        return self.pruning.rule(trial, population, self.curve_seconds)

    def is_stuck(self, decided: Sequence[Trial]) -> bool:
        """Return whether the last `max_failures` verdicts had nothing to train; imported ones do not count."""
        own = (trial for trial in reversed(decided) if not trial.imported)
        failures = itertools.takewhile(lambda trial: not trial.trainings, itertools.islice(own, self.max_failures))
        return sum(1 for _ in failures) == self.max_failures

    def operator_for(self, proposal: Proposal) -> Operator:
        """Return the operator that a proposal asks for, or the default one.

        Raises:
            UserError: It asks for an operator that does not exist.
        """
        if proposal.operator is None or proposal.operator == self.operator.name:
            return self.operator
        try:
            return self.extra_operators[proposal.operator]
        except KeyError:
            raise UserError(
                f"strategy {self.strategy_name} asks for the operator {proposal.operator!r}, which must be the "
                f"`operator` of the search or among `extra_operators`; there are {self.operator.name!r} and "
                f"{sorted(self.extra_operators)}"
            ) from None

    def __post_init__(self) -> None:
        if self.pruning.needs_curve and self.curve_seconds is None:
            raise UserError(
                "this pruning compares loss curves, and the trainings of this target report none; "
                "give pruning=none, or pruning=auto, which prunes only where there are curves"
            )
        if (self.propose_ahead or 0) < 0 or self.max_failures < 1:
            raise UserError(
                "propose_ahead must be null or at least 0 and max_failures at least 1, "
                f"got {self.propose_ahead} and {self.max_failures}"
            )
