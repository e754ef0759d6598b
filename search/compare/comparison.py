"""Compares arms of searches: what each found, how certain the differences are, and what could have been detected."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from operators.scores import seed_adjusted
from operators.trial import Trial
from search.champions import Point, champions
from search.compare.arms import Arms, group_by_arm, obstacles, unequal_luck
from search.compare.repetition import Repetition, repetition
from search.compare.staleness import Staleness, staleness_of
from search.final.report import read_final
from search.runs.finished import SearchRun
from search.runs.rundir import RunDirectory
from search.statistics import (
    ALPHA,
    Interval,
    detectable_difference,
    holm,
    mean_interval,
    mean_intervals,
    permutation_p,
    seeds_to_detect,
    seeds_to_rank,
    smallest_p,
)
from target.metric import VAL_BPB, Metric, metric_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Axis = Literal["trainings", "gpu_hours", "usd"]
AXES: Final[dict[Axis, str]] = {"trainings": "trainings", "gpu_hours": "device hours", "usd": "US dollars"}
_GRID_POINTS: Final = 120


@dataclass(frozen=True, slots=True)
class Curve:
    """Best so far over the seeds of an arm.

    Attributes:
        grid: (G,), trainings, hours or dollars.
        mean: (G,), score.
        low: (G,), lower end of its t interval; equal to the mean for one seed.
        high: (G,), upper end.
    """

    grid: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One configuration, over its seeds.

    Attributes:
        label: What tells it from the others.
        finals: Score of the champion at the end, one value per seed.
        areas: Mean of the best so far over the budget of trainings, one value per seed; lower means better or sooner.
        fresh: Score of the same champions on seeds that their searches have not used (`search.final`), one value per
            seed; empty unless all searches of the comparison have it. These values were not selected.
        final: t interval of the mean final; None for one seed.
        area: The same for the areas.
        outcomes: How its trials ended.
        trainings: In all.
        gpu_hours: In all.
        usd: In all.
        curves: Best so far, by axis.
        staleness: How late its proposals were trained.
        repetitions: Its searches, in the order of `finals`, `areas` and `fresh`.
        ranks: The best and the worst rank that the tests allow; None if it is not ranked.
    """

    label: str
    finals: tuple[float, ...]
    areas: tuple[float, ...]
    fresh: tuple[float, ...]
    final: Interval | None
    area: Interval | None
    outcomes: dict[str, int]
    trainings: int
    gpu_hours: float
    usd: float
    curves: dict[Axis, Curve]
    staleness: Staleness
    repetitions: tuple[Repetition, ...] = ()
    ranks: tuple[int, int] | None = None

    @property
    def judged(self) -> tuple[float, ...]:
        """The values that ranks and tests compare: fresh ones if there are any."""
        return self.fresh or self.finals

    @property
    def failure_rate(self) -> float:
        """Share of the decided trials that failed; those that were not run in this search are left out."""
        decided = sum(self.outcomes.values()) - self.outcomes.get("unmeasured", 0)
        sound = self.outcomes.get("ok", 0) + self.outcomes.get("pruned", 0)
        return 1 - sound / decided if decided else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two arms, compared by what is judged.

    Attributes:
        first: Label.
        second: Label.
        difference: Mean of the first minus that of the second; negative if the first is better.
        p: Of a two-sided permutation test.
        p_holm: The same, adjusted for all pairs.
        seeds: Seeds per arm needed to find a difference of this size; None if there is none, or it takes thousands.
    """

    first: str
    second: str
    difference: float
    p: float
    p_holm: float
    seeds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of `python -m search.compare`.

    Attributes:
        arms: Best mean first.
        refusals: Why there is no ranking; empty if there is.
        pairs: All pairs of arms; empty if there is no ranking.
        seed_sd: Standard deviation of what is judged between the seeds of an arm, pooled; None if no arm has two.
        detectable: Difference that this many seeds would have found with probability 0.8; None as for `seed_sd`.
        seeds_to_rank: Seeds per arm below which no difference between these arms, however large, is significant.
        metric: What the target measures; all figures here are as the ledgers have them, where lower is better.
    """

    arms: tuple[Arm, ...]
    refusals: tuple[str, ...]
    pairs: tuple[Pair, ...]
    seed_sd: float | None
    detectable: float | None
    seeds_to_rank: int
    metric: Metric = VAL_BPB

    @property
    def is_fresh(self) -> bool:
        """Whether arms are judged on seeds that their searches have not used."""
        return bool(self.arms[0].fresh)


def compare(runs: Sequence[SearchRun]) -> Comparison:
    """Compare searches that have a baseline."""
    groups = group_by_arm(runs)
    value = _values(runs)
    arms = sorted(_arms(groups, value), key=lambda arm: statistics.fmean(arm.judged))
    refusals = [*obstacles(groups), *([] if arms[0].fresh else unequal_luck(groups))]
    n_pairs = max(1, len(arms) * (len(arms) - 1) // 2)
    fewest = min(len(arm.finals) for arm in arms)
    needed = seeds_to_rank(n_pairs)
    if len(arms) > 1 and n_pairs * smallest_p(fewest, fewest) > ALPHA:
        refusals.append(
            f"{fewest} seed{'s' * (fewest > 1)} per arm {'are' if fewest > 1 else 'is'} too few: with "
            f"{len(arms)} arms the smallest possible adjusted p-value is "
            f"{min(1.0, n_pairs * smallest_p(fewest, fewest)):.2g}; at least {needed} seeds per arm are needed"
        )
    sd = _pooled_sd(arms)
    pairs = () if refusals else _pairs(arms, sd)
    return Comparison(
        arms=tuple(arms if refusals else _ranked(arms, pairs)),
        refusals=tuple(refusals),
        pairs=tuple(pairs),
        seed_sd=sd,
        detectable=None if sd is None or fewest < 2 else detectable_difference(sd, fewest, n_pairs),
        seeds_to_rank=needed,
        metric=metric_of(runs[0].environment),
    )


def _values(runs: Sequence[SearchRun]) -> Callable[[Trial], float]:
    """Return what a champion is worth, on one scale for all searches.

    The trainings of all searches are pooled: the same program and the same training seed mean the same in each search.
    """
    scored = [(run, trial) for run in runs for trial in run.population.scored]
    trainings: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _, trial in scored:
        for seed, each in trial.values.items():
            trainings[_program_id(trial)][seed].append(each)
    number = {program_id: index for index, program_id in enumerate(trainings)}
    means = {
        number[program_id]: {seed: statistics.fmean(each) for seed, each in by_seed.items()}
        for program_id, by_seed in trainings.items()
    }
    scores = seed_adjusted(means, number[_program_id(runs[0].population.trials[0])])
    return lambda trial: scores[number[_program_id(trial)]]


def _program_id(trial: Trial) -> str:
    assert trial.program is not None, f"trial {trial.number} has a score and no program"
    return trial.program.id


def _arms(groups: Arms, value: Callable[[Trial], float]) -> list[Arm]:
    paths = {label: [list(champions(run.population)) for run in members] for label, members in groups.items()}
    ends: dict[Axis, float] = {
        axis: min(getattr(path[-1], axis) for each in paths.values() for path in each) for axis in AXES
    }
    arms = [_arm(label, members, paths[label], ends, value) for label, members in groups.items()]
    return arms if all(arm.fresh for arm in arms) else [replace(arm, fresh=()) for arm in arms]


def _arm(
    label: str,
    members: Sequence[SearchRun],
    paths: Sequence[Sequence[Point]],
    ends: dict[Axis, float],
    value: Callable[[Trial], float],
) -> Arm:
    finals = tuple(value(path[-1].champion) for path in paths)
    areas = tuple(_area(path, ends["trainings"], value) for path in paths)
    fresh = [_fresh(run, path[-1].champion) for run, path in zip(members, paths, strict=True)]
    return Arm(
        label=label,
        finals=finals,
        areas=areas,
        fresh=() if None in fresh else tuple(each for each in fresh if each is not None),
        final=mean_interval(finals) if len(finals) > 1 else None,
        area=mean_interval(areas) if len(areas) > 1 else None,
        outcomes=dict(sum((Counter(run.summary.outcomes) for run in members), Counter())),
        trainings=sum(run.summary.trainings for run in members),
        gpu_hours=sum(run.summary.gpu_seconds for run in members) / 3600,
        usd=sum(run.summary.cost_usd for run in members),
        curves={axis: _curve(paths, axis, end, value) for axis, end in ends.items() if end > 0},
        staleness=staleness_of(run.population for run in members),
        repetitions=tuple(repetition(run, value) for run in members),
    )


def _fresh(run: SearchRun, champion: Trial) -> float | None:
    """Return the mean score of a champion on fresh seeds; None if it was not trained on any, or failed on one."""
    report, _ = read_final(RunDirectory(run.root))
    if report is None or report.val is None or report.champion_failures or report.program_id != _program_id(champion):
        return None
    return report.val.champion


def _area(path: Sequence[Point], end: float, value: Callable[[Trial], float]) -> float:
    """Return the mean of a step function from 0 to `end`; before the first champion it has the value of the first."""
    steps = [(0.0, value(path[0].champion))]
    steps += [(float(point.trainings), value(point.champion)) for point in path if point.trainings < end]
    ends = [*(start for start, _ in steps[1:]), end]
    return sum(each * (stop - start) for (start, each), stop in zip(steps, ends, strict=True)) / end


def _curve(paths: Sequence[Sequence[Point]], axis: Axis, end: float, value: Callable[[Trial], float]) -> Curve:
    import numpy as np

    grid = np.linspace(0.0, end, _GRID_POINTS)
    rows = []
    for path in paths:
        starts = np.array([getattr(point, axis) for point in path], dtype=float)
        values = np.array([value(point.champion) for point in path])
        rows.append(values[np.maximum(np.searchsorted(starts, grid, side="right") - 1, 0)])
    samples = np.array(rows)
    mean = samples.mean(axis=0)
    low, high = mean_intervals(samples) if len(rows) > 1 else (mean, mean)
    return Curve(grid, mean, low, high)


def _pooled_sd(arms: Sequence[Arm]) -> float | None:
    """Return the standard deviation within arms."""
    freedom = sum(len(arm.judged) - 1 for arm in arms)
    if not freedom:
        return None
    squares = sum(statistics.variance(arm.judged) * (len(arm.judged) - 1) for arm in arms if len(arm.judged) > 1)
    return float((squares / freedom) ** 0.5)


def _pairs(arms: Sequence[Arm], sd: float | None) -> list[Pair]:
    pairs = list(itertools.combinations(arms, 2))
    p_values = [permutation_p(first.judged, second.judged) for first, second in pairs]
    found = []
    for (first, second), p, p_holm in zip(pairs, p_values, holm(p_values), strict=True):
        difference = statistics.fmean(first.judged) - statistics.fmean(second.judged)
        seeds = None if sd is None else seeds_to_detect(difference, sd, len(pairs))
        found.append(
            Pair(first=first.label, second=second.label, difference=difference, p=p, p_holm=p_holm, seeds=seeds)
        )
    return found


def _ranked(arms: Sequence[Arm], pairs: Sequence[Pair]) -> list[Arm]:
    """Give each arm its range of ranks: behind the significantly better arms, ahead of the significantly worse."""
    better = {arm.label: 0 for arm in arms}
    worse = {arm.label: 0 for arm in arms}
    for pair in pairs:
        if pair.p_holm <= ALPHA:
            ahead, behind = (pair.first, pair.second) if pair.difference < 0 else (pair.second, pair.first)
            better[behind] += 1
            worse[ahead] += 1
    return [replace(arm, ranks=(1 + better[arm.label], len(arms) - worse[arm.label])) for arm in arms]
