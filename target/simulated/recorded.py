"""Recorded trainings, ours or from other sources: their constants and results."""

from __future__ import annotations

import gzip
import io
import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from target.errors import TargetError
from target.evaluation import Evaluation, Outcome
from target.metric import VAL_BPB
from target.program import Program
from target.program.constants import Value, format_value

_LEAST: Final = 30  # number of trainings that a surrogate needs
_COLUMNS: Final = ("outcome", "val_bpb", "train_seconds")
_LOG_RATIO: Final = 8.0  # a positive column with a larger ratio of its ends gets a log scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One recorded training.

    Attributes:
        constants: Values of the constants.
        outcome: How it ended.
        score: Its score; None unless the outcome is OK.
        seconds: Its duration.
        memory_bytes: Its peak; None if that is not known.
        source: The method that recorded it, or the run directory.
    """

    constants: Mapping[str, Value]
    outcome: Outcome
    score: float | None
    seconds: float
    memory_bytes: int | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The spread of trainings of one program: sd = floor + slope * (score - best).

    Attributes:
        floor: Standard deviation at the best recorded score.
        slope: Growth of the standard deviation with the distance from it.
        best: The best recorded score.
        repeats: Number of programs on which it was measured.
    """

    floor: float
    slope: float
    best: float
    repeats: int

    def sd(self, score: float) -> float:
        """Return the standard deviation between trainings of a program with this score."""
        return self.floor + self.slope * max(score - self.best, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """Recorded trainings of one skeleton.

    Attributes:
        rows: The trainings.
        program: The program that a search among them begins with.
    """

    rows: tuple[Recorded, ...]
    program: Program


def read_recordings(path: Path) -> Recordings:
    """Read trainings from a CSV file (plain or gzip) or a folder with run directories.

    A CSV has a column for each constant, named in UPPER_CASE, and `outcome`, `val_bpb`, `train_seconds`,
    `peak_memory_gb`; all others but `method` are ignored.

    Raises:
        TargetError: If there are no usable trainings.
    """
    try:
        record = _read_runs(path) if path.is_dir() else _read_csv(path)
    except (OSError, ValueError, KeyError) as error:
        raise TargetError(f"target.trials: cannot read {path}: {type(error).__name__}: {error}") from error
    scored = sum(row.score is not None for row in record.rows)
    if scored < _LEAST:
        raise TargetError(f"target.trials: {path} has {scored} trainings with a score, a surrogate needs {_LEAST}")
    return record


def measured_spread(rows: Sequence[Recorded]) -> Spread:
    """Return the noise of repeated trainings, by the median over programs that were trained more than once."""
    repeats = defaultdict(list)
    for row in rows:
        if row.score is not None:
            repeats[row.source, tuple(row.constants.values())].append(row.score)
    best = min(min(values) for values in repeats.values())
    pairs = [
        (statistics.fmean(values) - best, statistics.stdev(values) / _small_sample(len(values)))
        for values in repeats.values()
        if len(values) > 1
    ]
    if len(pairs) < 4:
        return Spread(floor=3e-4, slope=0.0, best=best, repeats=len(pairs))  # the middle of the public record
    pairs.sort()
    near, far = pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
    floor = statistics.median(sd for _, sd in near)
    rise = statistics.median(sd for _, sd in far) - floor
    run = statistics.median(gap for gap, _ in far) - statistics.median(gap for gap, _ in near)
    return Spread(floor=floor, slope=max(rise / run, 0.0) if run > 0 else 0.0, best=best, repeats=len(pairs))


def _baseline(rows: Sequence[Recorded]) -> dict[str, Value]:
    """Return the constants that most sources have in common; if several, those that were trained most often."""
    sources, counts = defaultdict(set), Counter[tuple[Value, ...]]()
    for row in rows:
        if row.score is not None:
            key = tuple(row.constants.values())
            sources[key].add(row.source)
            counts[key] += 1
    key = max(counts, key=lambda each: (len(sources[each]), counts[each]), default=())
    return dict(zip(rows[0].constants, key, strict=False)) if rows else {}


def _program(rows: Sequence[Recorded]) -> Program:
    """Return a program whose constants are the recorded ones, with knob comments from their recorded ranges."""
    lines = [
        f"{name} = {format_value(value)}  # knob: {_knob([row.constants[name] for row in rows])}"
        for name, value in _baseline(rows).items()
    ]
    return Program(_PROGRAM.format(constants="\n".join(lines)))


def _small_sample(n: int) -> float:
    """Return c4, the mean ratio of the standard deviation of n normal values to the true one."""
    return math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))


def _knob(values: Sequence[Value]) -> str:
    if any(isinstance(value, str) for value in values):
        return " | ".join(sorted({str(value) for value in values}))
    numbers = sorted({float(value) for value in values})
    low, high = numbers[0], numbers[-1]
    if low == high:
        return "fixed"
    if all(isinstance(value, int) for value in values):
        if len(numbers) <= 16 and all(math.log2(number).is_integer() for number in numbers if number > 0) and low > 0:
            return f"{low:.0f}..{high:.0f} pow2"
        return f"{low:.0f}..{high:.0f} int"
    scale = "log" if low > 0 and high / low >= _LOG_RATIO and low < 0.1 * high else "linear"
    return f"{low:.6g}..{high:.6g} {scale}"


def _read_csv(path: Path) -> Recordings:
    import csv

    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    raw = list(csv.DictReader(io.StringIO(content.decode())))
    names = [name for name in (raw[0] if raw else ()) if name.isupper()]
    _require_columns(path, list(raw[0]) if raw else [], {row.get("outcome", "") for row in raw})
    columns = {name: _typed([row[name] for row in raw]) for name in names}
    rows = tuple(
        Recorded(
            constants={name: columns[name][index] for name in names},
            outcome=Outcome(row["outcome"]),
            score=float(row["val_bpb"]) if row["outcome"] == Outcome.OK else None,
            seconds=float(row["train_seconds"]),
            memory_bytes=round(float(row["peak_memory_gb"]) * 1e9) if row.get("peak_memory_gb") else None,
            source=row.get("method", path.name),
        )
        for index, row in enumerate(raw)
    )
    return Recordings(rows=rows, program=_program(rows))


def _require_columns(path: Path, given: Sequence[str], outcomes: set[str]) -> None:
    missing = [name for name in _COLUMNS if name not in given]
    if missing or not any(name.isupper() for name in given):
        raise TargetError(
            f"target.trials: {path} must have a column for each constant, named in UPPER_CASE as in train.py, and the "
            f"columns {', '.join(_COLUMNS)}; its first line has: {', '.join(given) or 'nothing'}"
        )
    if unknown := sorted(outcomes - set(Outcome)):
        raise TargetError(
            f"target.trials: each outcome in {path} must be one of {', '.join(Outcome)}, got {unknown[0]!r}"
        )


def _typed(texts: Sequence[str]) -> Sequence[Value]:
    for kind in (int, float):
        try:
            return [kind(text) for text in texts]
        except ValueError:
            continue
    return list(texts)


def _read_runs(folder: Path) -> Recordings:
    """Read the trials of run directories that have the skeleton of the first one's seed program."""
    found = sorted(folder.rglob("trials/*/result.json"))
    if not found:
        raise ValueError("there is no trials/*/result.json below it")
    first = Program(_program_beside(found[0]).read_text(encoding="utf-8"))
    rows = tuple(row for path in found for row in _read_result(path, first.skeleton_id))
    return Recordings(rows=rows, program=first)


def _program_beside(result: Path) -> Path:
    """Return where the program of a trial is, which has the target's name for it."""
    return result.with_name(json.loads(result.read_text(encoding="utf-8")).get("file", VAL_BPB.file))


def _read_result(path: Path, skeleton_id: str) -> list[Recorded]:
    source = _program_beside(path)
    program = Program(source.read_text(encoding="utf-8")) if source.exists() else None
    if program is None or program.skeleton_id != skeleton_id:
        return []
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return [
        Recorded(
            constants=program.constants,
            outcome=run.outcome,
            score=run.score,
            seconds=run.train_seconds,
            memory_bytes=run.peak_memory_bytes,
            source=str(path.parents[2]),
        )
        for run in map(Evaluation.from_json, record["evaluations"])
        if run.trained and run.outcome is not Outcome.PRUNED  # neither a score nor a failure
    ]


_PROGRAM: Final = '''"""The constants of recorded trainings: a surrogate tells what a training would yield."""

{constants}


def build_model(vocab_size):
    """Stand for the model."""
    raise NotImplementedError("a surrogate evaluates this program")


def main():
    """Stand for the training."""
    raise NotImplementedError("a surrogate evaluates this program")


if __name__ == "__main__":
    main()
'''
