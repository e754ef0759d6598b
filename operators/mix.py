"""A mixture of operators, by fixed weights or by the gain of each operator per cost."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from operators.base import ExhaustedError, MakeOperator, NoModelError, Operator, Resources, equip, needs_python
from operators.delegate import delegate
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial

_PRIOR_TRIALS: Final = 3
"""Number of average trials credited to every operator, so that one lucky trial does not decide."""


@dataclass(frozen=True, slots=True)
class Yield:
    """The results of one operator's trials.

    Attributes:
        gain: Sum of their improvements over their parents, in units of the score; trials that got worse count 0.
        cost_usd: Their cost, including training time.
        trials: Number of decided trials.
    """

    gain: float = 0.0
    cost_usd: float = 0.0
    trials: int = 0


class MixOperator:
    """Draws an operator for each proposal and passes the work to it, recorded as `mix/NAME`.

    The adaptive probability of an operator is its weight times its rate, which is gain per cost. The cost is the price
    of its model calls and of the training time of its programs. Rates are shrunk towards the rate of all operators
    together.

    Operators that need a language model are left out of a search that has none, with a remark. An operator to which the
    parent leaves nothing new is passed over for this proposal.

    Args:
        operators: The operators by name.
        weights: Relative weight of each, at least 0; a missing name has weight 0.
        adaptive: Whether weights are multiplied by rates.
        gpu_usd_per_hour: Price of training time, for the rates.
        floor: Fraction of the proposals for which only the weights count, even if adaptive.
        resources: What the search provides.

    Raises:
        ValueError: If a weight is negative or names no operator, no weight is above 0, or a number is out of range.
        NoModelError: If all operators of the mixture need a language model, and there is none.
    """

    name = "mix"

    def __init__(
        self,
        *,
        operators: Mapping[str, Operator | MakeOperator],
        weights: Mapping[str, float],
        adaptive: bool,
        gpu_usd_per_hour: float,
        floor: float,
        resources: Resources,
    ) -> None:
        unknown = sorted(set(weights) - set(operators))
        if unknown or min(weights.values(), default=0) < 0 or not any(weights.values()):
            raise ValueError(
                f"weights must be at least 0, at least one above 0, for operators among {sorted(operators)}, "
                f"got {dict(weights)}"
            )
        if gpu_usd_per_hour <= 0 or not 0 <= floor <= 1:
            raise ValueError(
                f"gpu_usd_per_hour must be above 0 and floor from 0 to 1, got {gpu_usd_per_hour} and {floor}"
            )
        chosen = {name: operators[name] for name, weight in sorted(weights.items()) if weight}
        self._operators = _equipped(chosen, resources)
        self._weights = {name: float(weights[name]) for name in self._operators}
        self._adaptive = adaptive
        self._gpu_usd_per_hour = gpu_usd_per_hour
        self._floor = floor

    @property
    def needs_python(self) -> bool:
        """Whether each operator of the mixture does."""
        return all(map(needs_python, self._operators.values()))

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the mutation made by the operator that is drawn."""
        shares, rng = self.probabilities(population), random.Random(f"mix {proposal.seed}")
        while True:
            (chosen,) = rng.choices(list(shares), list(shares.values()))
            try:
                return delegate(self.name, self._operators[chosen], proposal, population)
            except ExhaustedError:
                del shares[chosen]
                if not shares:
                    raise

    def probabilities(self, population: Population) -> dict[str, float]:
        """Return the probability of each operator to be drawn, given the results of its trials."""
        total = sum(self._weights.values())
        fixed = {name: weight / total for name, weight in self._weights.items()}
        if not self._adaptive:
            return fixed
        yields = {name: self._yield(self._operators[name].name, population) for name in fixed}
        gain, cost, n = (
            sum(getattr(each, field) for each in yields.values()) for field in ("gain", "cost_usd", "trials")
        )
        if gain <= 0 or cost <= 0:
            return fixed
        prior_gain, prior_cost = (_PRIOR_TRIALS * amount / n for amount in (gain, cost))
        rates = {
            name: fixed[name] * (each.gain + prior_gain) / (each.cost_usd + prior_cost) for name, each in yields.items()
        }
        return {
            name: self._floor * fixed[name] + (1 - self._floor) * rate / sum(rates.values())
            for name, rate in rates.items()
        }

    def _yield(self, name: str, population: Population) -> Yield:
        own = [
            trial
            for trial in population.decided
            if trial.operator.split("/")[:2] == [self.name, name] and trial.status is not Status.UNMEASURED
        ]
        return Yield(
            gain=sum(population.gain(trial) for trial in own),
            cost_usd=sum(self._cost_usd(trial) for trial in own),
            trials=len(own),
        )

    def _cost_usd(self, trial: Trial) -> float:
        seconds = sum(run.train_seconds + run.score_seconds for run in trial.evaluations)
        return trial.cost_usd + seconds / 3600 * self._gpu_usd_per_hour


def _equipped(operators: Mapping[str, Operator | MakeOperator], resources: Resources) -> dict[str, Operator]:
    """Return the operators that are ready for work; without a language model, those that need none."""
    ready, lacking = dict[str, Operator](), dict[str, NoModelError]()
    for name, made in operators.items():
        try:
            ready[name] = equip(made, resources)
        except NoModelError as error:
            lacking[name] = error
    if not ready:
        raise next(iter(lacking.values()))
    if lacking:
        resources.remark(
            f"mix draws {', '.join(ready)}; without llm.model it leaves out {', '.join(lacking)}, which need one"
        )
    return ready
