"""What the framework itself costs: CPU, memory and disk of each trial, and the time to resume, as a search grows.

    python benchmarks/overhead.py [--trials 1000 10000] [--strategy greedy] [--operator constants] [--json FILE]

Each row is a real search, `python -m search target=landscape tracker=none`. Its trainings take no time, so all that is
measured belongs to the framework. With several strategies or operators there is a row for each pair.

    first_ms, last_ms     CPU milliseconds of a trial, mean over the first and over the last hundred trials
    cpu_ms                CPU milliseconds of a trial, mean over the search, from its start to its last report
    rss_mb                largest resident memory of the process, in 1e6 bytes
    disk_kb_per_trial     size of all its files at the end, without `train.py` and `diff.patch`, in 1e3 bytes
    blocks_kb_per_trial   what all of them occupy on the file system, these two included, in 1024 bytes as `du` counts
    resume_seconds        from the start of the same command, with a larger budget, to its first new verdict

The CPU time of the search's process is sampled from outside; the times of the verdicts are those in the journal.
`--folder` chooses the file system: on a disk the search waits for every record to be on it, which is no CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from target.words import user_path

ROOT: Final = Path(__file__).resolve().parents[1]
_SAMPLE_SECONDS: Final = 0.05
_SPAN: Final = 100  # trials at the beginning and at the end
_MARGIN: Final = 1.03  # trainings for each trial: a good candidate is trained again
_MORE_TRAININGS: Final = 10  # of the resumed search
_TICK_SECONDS: Final = 1 / os.sysconf("SC_CLK_TCK")
_OWN: Final = frozenset({"train.py", "diff.patch"})
COLUMNS: Final = (
    "trials",
    "first_ms",
    "last_ms",
    "cpu_ms",
    "rss_mb",
    "disk_kb_per_trial",
    "blocks_kb_per_trial",
    "resume_seconds",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10000], help="of each search, about")
    parser.add_argument("--strategy", nargs="+", default=["greedy"])
    parser.add_argument("--operator", nargs="+", default=["constants"])
    parser.add_argument("--folder", type=user_path, help="where the searches are written (default: a temporary folder)")
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()
    if min(options.trials) < 2 * _SPAN:
        parser.error(f"--trials must be at least {2 * _SPAN}, got {min(options.trials)}")

    rows: list[dict[str, Any]] = []
    print(f"{'search':34}" + "".join(f"{column:>21}" for column in COLUMNS), flush=True)
    for strategy in options.strategy:
        for operator in options.operator:
            for trials in options.trials:
                with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                    row = measure(Path(folder).resolve(), strategy, operator, trials)
                rows.append(row)
                cells = (f"{row[column]:,.1f}" if column != "trials" else f"{row[column]:,}" for column in COLUMNS)
                print(f"{row['name']:34}" + "".join(f"{cell:>21}" for cell in cells), flush=True)
                if options.json:
                    options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


def measure(folder: Path, strategy: str, operator: str, trials: int) -> dict[str, Any]:
    """Run one search, and resume it; returns its row."""
    choices = [f"strategy={strategy}", f"operator={operator}"]
    budget = round(_MARGIN * trials)
    samples, rss_bytes = run_search(folder, [*choices, f"budget.trainings={budget}"])
    journal = folder / "measured" / "journal.log"
    ended = np.array(sorted(times_in(journal, "datetime_complete")))
    n_trials = len(ended)
    cpu_at = np.interp(ended, *np.array(samples).T)
    disk, blocks = sizes(folder)
    began = time.time()
    run_search(folder, [*choices, f"budget.trainings={budget + _MORE_TRAININGS}"])
    resumed = min(at for at in times_in(journal, "datetime_complete") if at > began)
    return {
        "name": f"{strategy}/{operator} {trials}",
        "trials": n_trials,
        "first_ms": 1e3 * (cpu_at[_SPAN] - cpu_at[0]) / _SPAN,
        "last_ms": 1e3 * (cpu_at[-1] - cpu_at[-1 - _SPAN]) / _SPAN,
        "cpu_ms": 1e3 * samples[-1][1] / n_trials,
        "rss_mb": rss_bytes / 1e6,
        "disk_kb_per_trial": disk / 1e3 / n_trials,
        "blocks_kb_per_trial": blocks / 1024 / n_trials,
        "resume_seconds": resumed - began,
    }


def run_search(folder: Path, choices: list[str]) -> tuple[list[tuple[float, float]], int]:
    """Run a search to its end; returns (time, CPU seconds until then) at short intervals, and its peak memory in bytes.

    Raises:
        SystemExit: The search failed.
    """
    fixed = ["name=measured", f"outputs={folder}", "target=landscape", "tracker=none"]
    command = [sys.executable, "-m", "search", *fixed, *choices]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
    samples: list[tuple[float, float]] = []
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        samples.append((time.time(), cpu_seconds(process.pid)))
        time.sleep(_SAMPLE_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    samples.append((time.time(), usage.ru_utime + usage.ru_stime))
    if process.returncode:
        raise SystemExit(f"the search failed:\n{(folder / 'log').read_text(encoding='utf-8')[-2000:]}")
    return samples, 1024 * usage.ru_maxrss


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS


def times_in(journal: Path, key: str) -> list[float]:
    """Return the times in a journal, in seconds since the epoch."""
    with journal.open(encoding="utf-8") as lines:
        found = (json.loads(line).get(key) for line in lines if key in line)
        return [datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp() for each in found if each]


def sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes of the files of a search beside its sources and diffs, and the bytes that all of them occupy."""
    paths = [path for path in (folder / "measured").rglob("*") if not path.is_symlink()]
    disk = sum(path.stat().st_size for path in paths if path.is_file() and path.name not in _OWN)
    return disk, sum(512 * path.stat().st_blocks for path in paths)


if __name__ == "__main__":
    main()
