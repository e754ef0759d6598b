"""The constants of programs as Optuna's parameters, and a copy of a search as an Optuna study, for `optuna-dashboard`.

The ledger has them for the seed program only: Optuna writes a line of 300 bytes for each parameter of a trial, so those
of all programs would take several times the space of all else. The copy has them for all, with one range for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from operators.population import Population
from operators.trial import SCORED, Status, Trial
from search.errors import UserError
from target.metric import VAL_BPB, Metric
from target.program import Program
from target.program.constants import Constant, parse_constants

_POINTS: Final = 100  # of a curve
_STATES: Final = {Status.PRUNED: TrialState.PRUNED, **dict.fromkeys(SCORED, TrialState.COMPLETE)}


def distributions_of(programs: Iterable[Program]) -> dict[str, BaseDistribution]:
    """Return the range of each constant that some programs have: that of its knob, extended to all values it has.

    Args:
        programs: The programs; one that does not parse has no constants.
    """
    found: dict[str, list[Constant]] = {}
    for program in programs:
        for constant in _constants(program).values():
            found.setdefault(constant.name, []).append(constant)
    return {name: _distribution(constants) for name, constants in found.items()}


def write_study(population: Population, name: str, file: Path, metric: Metric = VAL_BPB) -> int:
    """Write a search as a new Optuna study, and return the number of its trials.

    Args:
        population: The search; trials without a verdict are left out.
        name: Name of the study.
        file: The journal to write.
        metric: What the target measures.

    Raises:
        UserError: The file is there already, or cannot be written.
    """
    if file.exists():
        raise UserError(f"{file} is there already: give the name of a new file")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    decided = [trial for trial in population.trials if trial.decided is not None]
    direction = StudyDirection.MAXIMIZE if metric.is_maximized else StudyDirection.MINIMIZE
    ranges = distributions_of(trial.program for trial in decided if trial.program)
    try:
        storage = JournalStorage(JournalFileBackend(str(file)))
        study = optuna.create_study(storage=storage, study_name=name, direction=direction)
        study.add_trials([_frozen(trial, population, ranges, metric) for trial in decided])
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; give a file that can be written") from error
    return len(decided)


def _frozen(
    trial: Trial, population: Population, ranges: Mapping[str, BaseDistribution], metric: Metric
) -> FrozenTrial:
    values = {name: constant.value for name, constant in (_constants(trial.program) if trial.program else {}).items()}
    curve = trial.evaluations[0].curve if trial.evaluations else ()
    stride = max(1, math.ceil(len(curve) / _POINTS))
    return create_trial(
        state=_STATES.get(trial.status, TrialState.FAIL),
        value=metric.value(population.scores[trial.number]) if trial.scored else None,
        params={name: value for name, value in values.items() if name in ranges},
        distributions={name: ranges[name] for name in values if name in ranges},
        intermediate_values={
            round(1000 * seconds): loss for seconds, loss in curve[::stride] if math.isfinite(loss) and seconds >= 0
        },
        user_attrs={
            "trial": trial.number,
            "status": trial.status.value,
            "operator": trial.operator,
            "parents": ", ".join(map(str, trial.proposal.parents)),
            "description": trial.mutation.description if trial.mutation else trial.detail,
        },
    )


def _constants(program: Program) -> dict[str, Constant]:
    try:
        return parse_constants(program.source)
    except (SyntaxError, ValueError):
        return {}


def _distribution(constants: list[Constant]) -> BaseDistribution:
    values = [constant.value for constant in constants]
    knobs = [constant.knob for constant in constants]
    choices = [*(choice for knob in knobs for choice in knob.choices), *values]
    if any(knob.choices for knob in knobs) or not all(_is_number(value) for value in values):
        return CategoricalDistribution(list(dict.fromkeys(choices)))
    bounds: list[Any] = [*values, *(bound for knob in knobs for bound in (knob.low, knob.high) if bound is not None)]
    low, high = min(bounds), max(bounds)
    if all(isinstance(value, int) for value in values):
        low, high = math.floor(low), math.ceil(high)
        return IntDistribution(low, high, log=low > 0 and any(knob.scale in ("log", "pow2") for knob in knobs))
    return FloatDistribution(low, high, log=low > 0 and any(knob.scale == "log" for knob in knobs))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
