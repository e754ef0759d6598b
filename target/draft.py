"""What an evaluation has found so far: its stages fill a draft, and in the end an `Evaluation` is made of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from target.evaluation import Evaluation, Outcome
from target.stopping import FailedCheck
from target.training_statistics import TrainingStatistics

Seconds = Literal["score_seconds", "wall_seconds"]
Tries = Literal["tries", "score_tries"]


@dataclass(slots=True, kw_only=True)
class Draft:
    """An evaluation without its end; the attributes are those of `Evaluation`."""

    seed: int
    holdout_bpb: float | None = None
    trained: bool = True
    train_seconds: float = 0.0
    score_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    memory_bytes: int | None = None
    n_parameters: int | None = None
    weights_sha256: str | None = None
    probes: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[float, float], ...] = ()
    epochs: float | None = None
    statistics: TrainingStatistics | None = None
    isolation: tuple[str, ...] = ()
    tries: int = 1
    score_tries: int = 1
    verified: bool = True
    reported: Mapping[str, float] = field(default_factory=dict)
    remark: str = ""
    failed_check: FailedCheck | None = None

    def end(self, outcome: Outcome, *, score: float | None = None, detail: str = "") -> Evaluation:
        """Return the evaluation.

        Args:
            outcome: How it ended.
            score: The score, if it has one.
            detail: Why it failed, if it did.
        """
        return Evaluation(outcome=outcome, score=score, detail=detail, **_values(self))

    def forget(self, *, keep: Collection[str]) -> None:
        """Forget a first try, except the seed and the fields in `keep`."""
        for name, value in _values(type(self)(seed=self.seed)).items():
            if name not in keep:
                setattr(self, name, value)

    @contextlib.contextmanager
    def timed(self, name: Seconds) -> Iterator[None]:
        """Note how many seconds the block took, even if it fails."""
        began = time.monotonic()
        try:
            yield
        finally:
            setattr(self, name, time.monotonic() - began)


def _values(draft: Draft) -> dict[str, Any]:
    return {each.name: getattr(draft, each.name) for each in fields(draft)}
