"""How far apart two trainings of one program end on this machine: the yardstick for every gain.

    python -m search.noise [target=tiny] [target.KEY=VALUE ...] [--seeds 6] [--repeats 3] [--program FILE] [--json FILE]

Trains the seed program of a target on several seeds, and on the first of them several times. The result is kept in
the cache, for this machine and these settings of the target. Reports of searches state gains in units of it.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from search.acceptance import training_seed
from search.commands import fails_with_a_line, show
from search.composed import read_config
from search.conditions import machine, relevant
from search.errors import UserError
from search.runs.environment import describe_device
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.statistics import sd_interval
from target.corpus.cache import cache_root
from target.device import allot, fit
from target.errors import TargetError
from target.evaluate import load_target
from target.evaluation import Evaluation
from target.executor import LocalExecutor
from target.program import Program
from target.spec import TargetSpec
from target.trained import TrainedKind
from target.words import user_path

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The measured noise.

    Attributes:
        target: Name of the target.
        date: The date, such as `2026-11-25`.
        program_id: Id of the program.
        n_seeds: Number of seeds with a score.
        mean: Mean score over them.
        seed_sd: Standard deviation of the score between seeds; it includes the variation between equal seeds.
        n_repeats: Number of trainings with a score on one seed.
        repeat_sd: Standard deviation between them; None if there are fewer than two.
    """

    target: str
    date: str
    program_id: str
    n_seeds: int
    mean: float
    seed_sd: float
    n_repeats: int
    repeat_sd: float | None


def stored_noise(spec: TargetSpec, device: Mapping[str, Any], program: Program) -> Noise | None:
    """Return the noise of a program that was measured for a target on a device, given by `describe_device`.

    None if there is none, or its file is damaged or of another version: a report must not fail because of it.
    """
    try:
        return Noise(**json.loads(_place(spec, device, program).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def noise_of(run: RunDirectory) -> Noise | None:
    """Return the noise of the baseline of a search on its machine; None if its folder does not name them.

    The program is the one in the folder: `target.program` may be relative to another directory, or have changed since.
    """
    try:
        spec = TargetSpec.from_config(read_config(run)["target"])
        device = json.loads(run.environment.read_text(encoding="utf-8"))["device"]
        baseline = Program(run.program_of(0).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, UserError, TargetError):
        return None  # the folder of a search that has not begun, or a target without trainings
    return stored_noise(spec, device, baseline)


def in_sds(gain: float, noise: Noise | None) -> str:
    """Return a gain in standard deviations between seeds; empty if the deviation is unknown or 0."""
    return f"{gain / noise.seed_sd:.1f} sd" if noise and noise.seed_sd else ""


def how_certain(noise: Noise) -> str:
    """Return the interval of the standard deviation between seeds, in words."""
    low, high = sd_interval(noise.seed_sd, noise.n_seeds)
    return f"with {noise.n_seeds} seeds the sd may be {low:.4f} to {high:.4f} (95 % interval)"


def measure_noise(
    spec: TargetSpec, program: Program, *, seeds: int, repeats: int, slots: int
) -> tuple[list[Evaluation], list[Evaluation]]:
    """Train a program on several seeds, and several times on the first; return both lists, which share a training.

    Raises:
        TargetError: The target cannot be evaluated here.
    """
    plan = [*(training_seed(0, index) for index in range(seeds)), *[training_seed(0, 0)] * (repeats - 1)]
    with tempfile.TemporaryDirectory() as logs:
        executor = LocalExecutor(TrainedKind(spec), workers=slots, preflight_workers=0)
        executor.start()
        try:
            futures = [executor.evaluate(program, seed, Path(logs) / f"{index}.log") for index, seed in enumerate(plan)]
            runs = [future.result() for future in futures]
        finally:
            executor.close()
    return runs[:seeds], [runs[0], *runs[seeds:]]


def summarize(spec: TargetSpec, program: Program, runs: Sequence[Evaluation], again: Sequence[Evaluation]) -> Noise:
    """Derive the noise from the trainings.

    Raises:
        UserError: Fewer than two of them have a score.
    """
    values, repeated = ([run.score for run in each if run.score is not None] for each in (runs, again))
    if len(values) < 2:
        detail = next((run.detail for run in runs if run.detail), "")
        raise UserError(f"two trainings with a score are needed, got {len(values)} of {len(runs)}: {detail}")
    return Noise(
        target=spec.name,
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        program_id=program.id,
        n_seeds=len(values),
        mean=statistics.fmean(values),
        seed_sd=statistics.stdev(values),
        n_repeats=len(repeated),
        repeat_sd=statistics.stdev(repeated) if len(repeated) > 1 else None,
    )


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and store; return the exit code."""
    options = _parser().parse_args(arguments)
    configured = _spec(options.target)
    slots = allot(TrainedKind(configured), options.slots, setting="--slots").slots
    spec, device = fit(configured, slots=slots)
    if device:
        sys.stderr.write(f"device: {device}\n")
    program = spec.read_program(options.program) if options.program else spec.seed_program()
    runs, again = measure_noise(spec, program, seeds=options.seeds, repeats=options.repeats, slots=slots)
    everything = [*runs, *again[1:]]
    show(_table(everything, spec, slots))
    noise = summarize(spec, program, runs, again)
    show(_text(noise))
    if options.json:
        rows = [{"seed": run.seed, "outcome": run.outcome.value, "val_bpb": run.score} for run in runs + again[1:]]
        write_atomically(options.json, json.dumps({"rows": rows, **asdict(noise)}, indent=2) + "\n")
    if program == spec.seed_program():
        path = _place(configured, describe_device(spec.device), program)
        write_atomically(path, json.dumps(asdict(noise), indent=2) + "\n")
        show(f"kept in {path}, for the reports of searches\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.noise", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="*", metavar="KEY=VALUE", help="target=NAME, and settings as in a search")
    parser.add_argument("--seeds", type=_count(2), default=6, help="different seeds (default: %(default)s)")
    parser.add_argument("--repeats", type=_count(1), default=3, help="trainings of the first (default: %(default)s)")
    parser.add_argument(
        "--slots", type=_count(1), help="trainings side by side (default: one on each GPU, or as many as fit the cores)"
    )
    parser.add_argument("--program", type=user_path, help="another program; its noise is printed, not kept")
    parser.add_argument("--json", type=user_path, help="write every figure to a file")
    return parser


def _count(least: int) -> Any:
    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    return parse


def _spec(overrides: Sequence[str]) -> TargetSpec:
    """Read `target=NAME` and `target.KEY=VALUE`.

    Raises:
        UserError: Something else was given.
        TargetError: There is no such target or setting.
    """
    names = [each.removeprefix("target=") for each in overrides if each.startswith("target=")]
    settings = [each.removeprefix("target.") for each in overrides if each.startswith("target.")]
    if len(names) + len(settings) < len(overrides) or len(names) > 1:
        raise UserError(f"only target=NAME and target.KEY=VALUE decide about noise, got {' '.join(overrides)}")
    return load_target(names[0] if names else "tiny", settings)


def _place(spec: TargetSpec, device: Mapping[str, Any], program: Program) -> Path:
    """Return where the noise of a program is kept, for a target before it is fitted to a GPU, on a device."""
    key = json.dumps([_FORMAT, relevant(asdict(spec)), machine(device), program.id], sort_keys=True, default=str)
    return cache_root() / "noise" / f"{spec.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def _table(runs: Sequence[Evaluation], spec: TargetSpec, slots: int) -> str:
    lines = [
        f"target {spec.name}: {len(runs)} trainings, {slots} at a time",
        f"{'seed':>12} {'outcome':>10} {'val_bpb':>9} {'train s':>8} {'score s':>8} {'memory GB':>10}",
    ]
    for run in runs:
        value = "" if run.score is None else f"{run.score:.4f}"
        seconds = f"{run.train_seconds:8.2f} {run.score_seconds:8.2f}"
        lines.append(
            f"{run.seed:>12} {run.outcome:>10} {value:>9} {seconds} {(run.peak_memory_bytes or 0) / 1e9:10.2f}"
        )
    return "\n".join(lines) + "\n"


def _text(noise: Noise) -> str:
    error = noise.seed_sd / noise.n_seeds**0.5
    lines = [f"{noise.n_seeds} seeds: mean {noise.mean:.4f}, sd {noise.seed_sd:.4f}, standard error {error:.4f}"]
    if noise.repeat_sd is not None:
        lines.append(f"one seed {noise.n_repeats} times: sd {noise.repeat_sd:.4f}")
    if noise.seed_sd:
        lines.append(f"{how_certain(noise)}, if scores are about normal")
    else:
        lines.append("all seeds gave the same score: a seed changes nothing in these trainings")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
