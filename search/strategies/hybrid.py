"""The configured operator changes structure, the tuner constants; each gets trials in proportion to its gain."""

from __future__ import annotations

import random
from typing import Final

from operators.population import Population
from operators.trial import Proposal, Trial
from search.strategies.base import child_of, one_of_the_best, verdicts

TUNE: Final = "tune"
_TRIED: Final = 2  # trials that show whether the configured operator changes structure


class Hybrid:
    """Divides the trials between the configured operator and the tuner by what each has gained per GPU-second.

    An arm's rate is its discounted gain on the best score over its discounted training seconds; both arms start with
    the same prior. Arms are drawn in proportion to their rates, each with at least the share `least`. An operator
    whose programs all have the skeleton of their parent changes only constants, like the tuner. It gets only `least`.

    The tuner works on the best program or, with probability `young`, on the newest promising skeleton: one among the
    better half of all scored trials and with fewer than `trials` trials. A change of structure is rarely better before
    its constants are tuned to it.

    Args:
        least: Smallest share of an arm.
        memory: Trials of an arm after which a gain counts 1/e.
        young: Probability of tuning a new skeleton where there is one.
        trials: Trials of a skeleton after which it is not new any more.

    Raises:
        ValueError: If an argument is out of range.

    Source: the division of labour is that of Centaur (https://arxiv.org/abs/2603.24647), the adaptive shares are
    probability matching, Thierens 2005, An adaptive pursuit strategy for allocating operator probabilities.
    """

    def __init__(self, *, least: float, memory: float, young: float, trials: int) -> None:
        if not 0 <= least <= 0.5 or memory <= 0 or not 0 <= young <= 1 or trials < 1:
            raise ValueError(
                "least must be from 0 to 0.5, memory above 0, young from 0 to 1 and trials at least 1, "
                f"got {least}, {memory}, {young} and {trials}"
            )
        self._least = least
        self._memory = memory
        self._young = young
        self._trials = trials

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal for one of the two arms."""
        if rng.random() < self.tune_share(population):
            return _tuned(self._to_tune(population, rng), rng)
        return child_of(population.ranked()[0].number, rng=rng, arm="structure")

    def ask_wider(self, population: Population, rng: random.Random) -> Proposal:
        """Return a proposal for one of the two arms, by the same shares, to work on one of the best few trials."""
        is_tuned = rng.random() < self.tune_share(population)
        parent = one_of_the_best(population, rng)
        return _tuned(parent, rng) if is_tuned else child_of(parent, rng=rng, arm="structure")

    def tune_share(self, population: Population) -> float:
        """Return the probability that the tuner gets the next trial."""
        structure = [trial for trial in population.trials if trial.proposal.labels.get("arm") == "structure"]
        built = [trial for trial in structure if trial.program]
        if len(built) >= _TRIED and not any(_new_skeleton(trial, population) for trial in built):
            return 1 - self._least
        rates = self._rates(population)
        share = rates[TUNE] / sum(rates.values())
        return min(max(share, self._least), 1 - self._least)

    def _rates(self, population: Population) -> dict[str, float]:
        """Return the gain per second of each arm, in bpb; both arms are measured alike."""
        gains, seconds = {TUNE: 0.0, "structure": 0.0}, {TUNE: 0.0, "structure": 0.0}
        total_gain, total_seconds, count, best = 0.0, 0.0, 0, population.scores[0]
        for trial in verdicts(population):
            gain = max(best - population.scores[trial.number], 0.0) if trial.scored else 0.0
            best -= gain
            arm = str(trial.proposal.labels.get("arm"))
            if arm not in gains:
                continue  # another strategy asked for it: no arm has its gain
            spent = sum(run.train_seconds for run in trial.evaluations)
            keep = 1 - 1 / self._memory if self._memory > 1 else 0.0
            gains[arm] = keep * gains[arm] + gain
            seconds[arm] = keep * seconds[arm] + spent
            total_gain, total_seconds, count = total_gain + gain, total_seconds + spent, count + 1
        past_gain, past_seconds = (max(total / max(count, 1), 1e-9) for total in (total_gain, total_seconds))
        return {arm: (gains[arm] + 2 * past_gain) / (seconds[arm] + 2 * past_seconds) for arm in gains}

    def _to_tune(self, population: Population, rng: random.Random) -> int:
        ranked = population.ranked()
        if rng.random() < self._young:
            young = self._young_skeleton(population, ranked[: (len(ranked) + 1) // 2])
            if young is not None:
                return young.number
        return ranked[0].number

    def _young_skeleton(self, population: Population, better_half: list[Trial]) -> Trial | None:
        """Return the best trial of the newest skeleton that has too few trials to be judged."""
        skeletons = [trial.program.skeleton_id for trial in population.trials if trial.program]
        home = skeletons[0] if skeletons else None
        young = [
            trial
            for trial in better_half
            if trial.program
            and trial.program.skeleton_id != home
            and skeletons.count(trial.program.skeleton_id) < self._trials
        ]
        newest = max(young, key=lambda trial: trial.number, default=None)
        if newest is None or newest.program is None:
            return None
        return next(
            trial for trial in young if trial.program and trial.program.skeleton_id == newest.program.skeleton_id
        )


def _tuned(parent: int, rng: random.Random) -> Proposal:
    return Proposal(parents=(parent,), seed=rng.getrandbits(32), operator=TUNE, labels={"arm": TUNE})


def _new_skeleton(trial: Trial, population: Population) -> bool:
    parents = [population.trials[number].program for number in trial.proposal.parents]
    return all(trial.program and parent and trial.program.skeleton_id != parent.skeleton_id for parent in parents)
