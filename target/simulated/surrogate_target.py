"""`target=surrogate`: a model of recorded trainings replaces trainings."""

from __future__ import annotations

import functools
import random
from pathlib import Path

from target.corpus.cache import cache_root
from target.errors import TargetError
from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.simulated.recorded import read_recordings
from target.simulated.surrogate import Family, Prediction, Surrogate, fit_surrogate
from target.simulated.target import SimulatedTarget, noise


class SurrogateOracle:
    """Answers from a surrogate, with the noise of the record.

    Whether trainings fail is drawn once per program: a program that does not fit into memory never fits.
    """

    def __init__(self, surrogate: Surrogate) -> None:
        self._surrogate = surrogate
        self._known = functools.lru_cache(maxsize=4096)(self._predict)

    def truth(self, program: Program) -> float | None:
        """Return the noise-free score of a program; None if its training fails."""
        fails, prediction = self._known(program)
        return None if fails else prediction.score

    def evaluate(self, program: Program, seed: int) -> Evaluation:
        """Return one training."""
        fails, prediction = self._known(program)
        outcome = self._surrogate.failure if fails else Outcome.OK
        seconds = self._surrogate.seconds[outcome]
        if fails:
            detail = f"{outcome.value.replace('_', ' ')}, in {prediction.fail_probability:.0%} of trainings like this"
            return Evaluation(outcome=outcome, seed=seed, train_seconds=seconds, wall_seconds=seconds, detail=detail)
        sd = self._surrogate.noise.sd(prediction.score)
        return Evaluation(
            outcome=outcome,
            seed=seed,
            score=prediction.score + noise(program, seed, sd),
            train_seconds=seconds,
            wall_seconds=seconds,
            peak_memory_bytes=prediction.memory_bytes,
        )

    def _predict(self, program: Program) -> tuple[bool, Prediction]:
        prediction = self._surrogate.predict(program.constants)
        draw = random.Random(f"failure {program.id}").random()
        return draw < prediction.fail_probability, prediction


def surrogate_target(*, name: str, trials: str | None, model: Family, slots: int) -> SimulatedTarget:
    """Return the target that `conf/target/surrogate.yaml` describes.

    Args:
        name: Its name.
        trials: A CSV file of recorded trainings, or a folder with run directories.
        model: Family of the surrogate.
        slots: Evaluations side by side.

    Raises:
        TargetError: If no trials are named, or they cannot be used.
    """
    if trials is None:
        raise TargetError(
            "target.trials must name recorded trainings: a CSV file with a column for each constant, outcome, val_bpb "
            "and train_seconds, or a folder with run directories of this search"
        )
    path = Path(trials).expanduser()
    if not path.exists():
        raise TargetError(f"target.trials: there is no {path}")
    described = {"surrogate": {"name": name, "trials": str(path), "model": model}}
    return SimulatedTarget(lambda: load_surrogate(path, model), slots=slots, described=described)


def load_surrogate(trials: Path, model: Family) -> tuple[SurrogateOracle, Program]:
    """Return the oracle of recorded trainings, fitted or from the cache, and the program to begin with."""
    record = read_recordings(trials)
    return SurrogateOracle(fit_surrogate(record, model, cache_root() / "surrogates")), record.program
