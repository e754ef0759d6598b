"""Durations of the stages of `benchmarks/gpu.py`, and lengths of trainings that fit into the available time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from target.spec import TargetSpec

SEARCH_TRAININGS: Final = 4
NOISE_TRAININGS: Final = 3
FEATURE_TRAININGS: Final = 4
ESSENTIAL: Final = (
    "setup",
    "doctor",
    "check",
    "anchor",
    "baseline",
    "startup",
    "search",
)  # the stages that short trainings must leave time for
LONGEST_SHORT_SECONDS: Final = 30.0
SHORTEST_SECONDS: Final = {"cuda": 10.0, "cpu": 3.0}
_TIMEOUT_SECONDS: Final = 30.0  # on top of any estimate
_STARTUP_FACTOR, _STARTUP_SECONDS = 1.3, 3.0  # allowance for start-up: factor on the measured time, plus seconds
_BASELINE_SHORTS: Final = 2.0  # a baseline is at least this many short trainings long


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Wall seconds outside the clocks of trainings.

    Attributes:
        setup: Importing, and verifying the text or tokenising 330 MB of it.
        doctor: Starting the device under each layer.
        begin: From the start of a stage to its training.
        score: A scored pass with its probes and a replica.
        anchor_tokenizer: Training the tokenizer of the anchor.
        anchor_first_step: The anchor's start up to its first step.
        anchor_scores: The anchor's own evaluation, and ours.
        search_begin: From the command of a search to its first training.
        stretch: Wall seconds per second of a training's clock.
        tracing: Factor by which strace slows a training.
        patience: Multiple of its estimate that a stage may take.
    """

    setup: float
    doctor: float
    begin: float
    score: float
    anchor_tokenizer: float
    anchor_first_step: float
    anchor_scores: float
    search_begin: float
    stretch: float
    tracing: float
    patience: float


COSTS: Final = {
    "cuda": Costs(  # measured on an H100 with 16 cores, except search_begin, which is a guess
        setup=35,
        doctor=30,
        begin=24,
        score=10,
        anchor_tokenizer=10,
        anchor_first_step=75,
        anchor_scores=35,
        search_begin=25,
        stretch=1.0,
        tracing=2.0,
        patience=1.5,
    ),
    "cpu": Costs(  # the `tiny` target on two cores shared with other work
        setup=15,
        doctor=15,
        begin=8,
        score=4,
        anchor_tokenizer=8,
        anchor_first_step=1,
        anchor_scores=3,
        search_begin=14,
        stretch=1.3,
        tracing=3.0,
        patience=4.0,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Lengths of the trainings, and what each stage is expected to take.

    Attributes:
        full: The target, for the baseline.
        short: The target, for all other trainings.
        estimates: Wall seconds of each stage that was asked for, in order.
    """

    full: TargetSpec
    short: TargetSpec
    estimates: dict[str, float]

    def needed_seconds(self, name: str, *, checked_seconds: float | None) -> float:
        """Return the wall seconds of a stage; `checked_seconds` as for `make_plan`."""
        return estimate(self.short, self.full, [name], checked_seconds=checked_seconds)[name]

    def timeout_seconds(self, needed_seconds: float) -> float:
        """Return the timeout of a stage with a given estimate, in seconds."""
        return COSTS[self.short.device].patience * needed_seconds + _TIMEOUT_SECONDS


def make_plan(
    spec: TargetSpec,
    names: Sequence[str],
    *,
    seconds: float,
    short_seconds: float | None = None,
    full_seconds: float | None = None,
    checked_seconds: float | None = None,
) -> Plan:
    """Choose the lengths of the trainings.

    Short trainings are as long as the essential stages among `names` allow, within limits. The baseline gets the time
    left after all stages, up to the length in the target.

    Args:
        spec: The unchanged target.
        names: The stages, in order.
        seconds: Wall seconds for all of them.
        short_seconds: Length of a short training; None to choose it.
        full_seconds: Length of the baseline; None to choose it.
        checked_seconds: Seconds of the training of the stage `check` after its first step,
            for the stages that continue it; None if there is none.
    """

    def estimates(short: float, full: float) -> dict[str, float]:
        return estimate(_lasting(spec, short), _lasting(spec, full), names, checked_seconds=checked_seconds)

    def essential(short: float) -> float:
        found = estimates(short, _BASELINE_SHORTS * short)
        return sum(needed for name, needed in found.items() if name in ESSENTIAL)

    if short_seconds is None:
        fixed = essential(0)
        each = essential(1) - fixed
        longest = min(LONGEST_SHORT_SECONDS, spec.train_seconds / _BASELINE_SHORTS)
        fitting = (seconds - fixed) / each if each else longest
        short_seconds = float(int(max(SHORTEST_SECONDS[spec.device], min(longest, fitting))))
    if full_seconds is None:
        least = min(spec.train_seconds, _BASELINE_SHORTS * short_seconds)
        spare = seconds - sum(estimates(short_seconds, least).values())
        longer = max(0.0, spare) / COSTS[spec.device].stretch
        full_seconds = float(int(min(spec.train_seconds, least + longer)))
    return Plan(
        full=_lasting(spec, full_seconds),
        short=_lasting(spec, short_seconds),
        estimates=estimates(short_seconds, full_seconds),
    )


def with_measured_startup(spec: TargetSpec, first_step_seconds: float) -> TargetSpec:
    """Return the target with no more allowance for start-up than a training needs here.

    With a wall clock, unused allowance becomes training time, which only makes short trainings longer.

    Args:
        spec: The target.
        first_step_seconds: From the fork to the end of the first step, measured here.
    """
    if spec.clock != "wall":
        return spec
    needed = float(math.ceil(_STARTUP_FACTOR * first_step_seconds + _STARTUP_SECONDS))
    return dataclasses.replace(spec, startup_seconds=min(spec.startup_seconds, needed))


def estimate(
    short: TargetSpec, full: TargetSpec, names: Sequence[str], *, checked_seconds: float | None
) -> dict[str, float]:
    """Return the wall seconds that stages are expected to take.

    Args:
        short: The target, for short trainings.
        full: The target, for the baseline.
        names: The stages.
        checked_seconds: As for `make_plan`.
    """
    costs = COSTS[short.device]
    checked = checked_seconds is not None or "check" in names
    evaluation = costs.begin + costs.stretch * short.limit_seconds + costs.score
    in_search = costs.stretch * short.limit_seconds + costs.score + costs.begin / 4
    found = {
        "setup": costs.setup,
        "doctor": costs.doctor,
        "check": evaluation + 2 * costs.score,
        "anchor": costs.anchor_tokenizer
        + costs.anchor_first_step
        + costs.anchor_scores
        + costs.stretch * (short.limit_seconds if checked_seconds is None else checked_seconds)
        + (costs.begin / 2 if checked else evaluation),
        "baseline": costs.begin + costs.stretch * full.limit_seconds + costs.score,
        "startup": costs.begin / 2 if checked else evaluation,
        "search": costs.search_begin + SEARCH_TRAININGS * in_search,
        "features": costs.begin + FEATURE_TRAININGS * in_search,
        "noise": costs.begin + NOISE_TRAININGS * in_search,
        "calls": costs.tracing * evaluation,
    }
    return {name: found[name] for name in names}


def _lasting(spec: TargetSpec, seconds: float) -> TargetSpec:
    """Return the target with another length of training; a fixed allowance for start-up is added, as always."""
    return dataclasses.replace(spec, train_seconds=max(seconds, 1e-3))
