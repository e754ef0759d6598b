"""How far apart two trainings of one program end: the yardstick for every claim of progress.

    python benchmarks/noise.py [--program FILE] [--target tiny] [--seeds 6] [--json FILE]

Trains one program on several seeds, as many at a time as there are slots, and prints the mean and the standard
deviation of its val_bpb. A gain that is not several of these is no gain.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from search.acceptance import training_seed
from target.evaluate import load_target
from target.executor import LocalExecutor
from target.spec import SEED_PROGRAM


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=SEED_PROGRAM)
    parser.add_argument("--target", default="tiny")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    spec = load_target(arguments.target)
    program = spec.read_program(arguments.program)
    with tempfile.TemporaryDirectory() as logs:
        executor = LocalExecutor(spec, workers=arguments.slots)
        executor.start()
        try:
            futures = [
                executor.evaluate(program, training_seed(0, index), Path(logs) / f"{index}.log")
                for index in range(arguments.seeds)
            ]
            runs = [future.result() for future in futures]
        finally:
            executor.close()

    print(f"{arguments.program}, target {spec.name}: {arguments.seeds} seeds, {arguments.slots} at a time")
    print(f"{'seed':>12} {'outcome':>10} {'val_bpb':>9} {'train s':>8} {'score s':>8} {'memory GB':>10}")
    for run in runs:
        value = "" if run.val_bpb is None else f"{run.val_bpb:.4f}"
        seconds = f"{run.train_seconds:8.2f} {run.score_seconds:8.2f}"
        print(f"{run.seed:>12} {run.outcome:>10} {value:>9} {seconds} {(run.peak_memory_bytes or 0) / 1e9:10.2f}")
    values = [run.val_bpb for run in runs if run.val_bpb is not None]
    mean = statistics.fmean(values) if values else None
    sd = statistics.stdev(values) if len(values) > 1 else None
    if mean is not None and sd is not None:
        print(f"mean {mean:.4f}, sd {sd:.4f}, standard error {sd / len(values) ** 0.5:.4f}")
    if arguments.json:
        rows = [{"seed": run.seed, "outcome": run.outcome.value, "val_bpb": run.val_bpb} for run in runs]
        arguments.json.write_text(json.dumps({"rows": rows, "mean": mean, "sd": sd}, indent=2) + "\n")


if __name__ == "__main__":
    main()
