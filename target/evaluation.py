"""The result of one training of one program."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from target.stopping import FailedCheck
from target.training_statistics import TrainingStatistics


class Outcome(enum.StrEnum):
    """How an evaluation, and with it a trial, ended."""

    OK = "ok"
    PRUNED = "pruned"  # stopped before its end, because its loss was too high
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    NOT_BUILT = "not_built"  # no program: the operator failed
    REJECTED = "rejected"  # by the contract or a probe
    UNMEASURED = "unmeasured"  # taken from an earlier search, and not run in this one


def _key(name: str) -> str:
    """Return the key of a field in files: the score has the name that it had when all targets measured text."""
    return "val_bpb" if name == "score" else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Result of one training run.

    Attributes:
        outcome: How the run ended.
        seed: Seed that the harness gave to the training.
        score: What the target measures, lower is better; None unless `outcome` is OK. In files it is `val_bpb`.
        holdout_bpb: Bits per byte of the same weights on the holdout text; None unless a final report asked for it.
        trained: Whether a training was started, and so counts against the budget. A program that the
            pre-flight refuses costs no training.
        train_seconds: Time charged to the training by the clock of the target (CPU or wall), as the harness measured.
        score_seconds: Wall time of the scored pass and its probes.
        wall_seconds: Start of the training process to the score, wall clock.
        peak_memory_bytes: Peak memory of the training; None if it is not known.
        memory_bytes: Memory of the card, or the limit, that was not enough; None unless the training ran out of it.
        n_parameters: Parameters of the trained model, counted by the scorer from the saved weights.
        weights_sha256: Hash of the weights that were scored.
        detail: Why it failed, as feedback that a person or a model can act on; empty when `outcome` is OK.
        probes: Measured value of each probe, by name.
        curve: (seconds, training loss in nats) pairs that the candidate reported. Not trusted.
        epochs: How often the training read its text, as `prepare` counted it in the candidate's process. Not trusted.
        statistics: What `prepare` measured beside the curve, in the candidate's process. Not trusted.
        isolation: Layers that were in force, by name.
        tries: Trainings begun: 2 if the first one was killed, and not by us. Each counts against the budget.
        score_tries: How often the scoring of its weights was begun: 2 if a model server was killed, and not by us.
        verified: Whether the score was computed here, by a process that runs no code of the program. If not, the
            program reported the score, and it is unchecked.
        reported: Figures that the program reported beside it, by name. Not trusted.
        remark: What the user should know about the score; it is said once, of the seed program.
        failed_check: The check for which the training was stopped. If `outcome` is not PRUNED, the training was an
            audit and ran on. None if it failed no check.
        host: Name of the host of a cluster that ran it; empty on the machine of the search.
        card: Name of the GPU of that host; empty on a CPU, and on the machine of the search.
    """

    outcome: Outcome
    seed: int
    score: float | None = None
    holdout_bpb: float | None = None
    trained: bool = True
    train_seconds: float = 0.0
    score_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    memory_bytes: int | None = None
    n_parameters: int | None = None
    weights_sha256: str | None = None
    detail: str = ""
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
    host: str = ""
    card: str = ""

    def __post_init__(self) -> None:
        if (self.score is not None) != (self.outcome is Outcome.OK):
            raise ValueError(
                "score must be set exactly when outcome is 'ok', "
                f"got score={self.score} with outcome={self.outcome.value!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as plain JSON types."""
        return {
            **{_key(name): value for name, value in asdict(self).items()},
            "outcome": self.outcome.value,
            "probes": dict(self.probes),
            "reported": dict(self.reported),
            "statistics": self.statistics and self.statistics.to_json(),
        }

    def to_record(self) -> dict[str, Any]:
        """Return the evaluation as plain JSON types, without the fields that have their default value."""
        usual = Evaluation(outcome=Outcome.CRASHED, seed=0).to_json()
        del usual["outcome"], usual["seed"]  # these have no default
        return {name: value for name, value in self.to_json().items() if name not in usual or value != usual[name]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild an evaluation from `to_json` or `to_record`; unknown keys are refused."""
        unknown = record.keys() - {_key(f.name) for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown keys in an evaluation: {', '.join(sorted(unknown))}")
        return cls(
            **{
                **{f.name: record[_key(f.name)] for f in fields(cls) if _key(f.name) in record},
                "outcome": Outcome(record["outcome"]),
                "curve": tuple((float(seconds), float(loss)) for seconds, loss in record.get("curve", ())),
                "isolation": tuple(record.get("isolation", ())),
                "failed_check": FailedCheck.from_json(check) if (check := record.get("failed_check")) else None,
                "statistics": TrainingStatistics.from_json(found) if (found := record.get("statistics")) else None,
            }
        )
