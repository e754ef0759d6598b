"""Does the improvement hold? `python -m search.final outputs/NAME [--seeds 5]` trains again and scores the holdout.

Champion and baseline are trained on fresh seeds, in parallel, and scored on the validation text and on the sealed
holdout, which nothing else uses. It rewrites final.json and the reports, and reuses the trainings of an interrupted
earlier call. These trainings are not part of the search and count against no budget.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from search.commands import fails_with_a_line, say, show
from search.composed import make_target, read_config
from search.final.check import run_final
from search.final.report import final_text, read_final
from search.names import given_search
from search.report import write_reports
from search.retraining import improvement
from search.runs.finished import read_summary
from search.runs.lock import locked
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.tracking.later import send_again


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Check the improvement of one search; return the exit code, which is 0 for any verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m search.final", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=given_search, help="folder of a search, such as outputs/NAME")
    parser.add_argument("--seeds", type=int, default=5, help="fresh seeds (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="trainings side by side (default: as in the search)")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error(f"--seeds must be at least 2, got {options.seeds}")
    try:
        return _check(RunDirectory(options.directory), options.seeds, options.workers)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command continues\n")
        return 130


def _check(run: RunDirectory, n_seeds: int, workers: int | None) -> int:
    from hydra.utils import instantiate

    config = read_config(run)
    summary, population = read_summary(run), read_population(run)
    improvement(population, run.root)  # also checked later, with absolute paths: a message has the one that was given
    read_final(run)
    with locked(run.lock):
        chosen = {} if workers is None else {"workers": workers}
        with run.where_started() as there:
            executor = make_target(config["target"]).make_executor(instantiate(config["executor"], **chosen))
            report = run_final(there, population, executor, search_seed=config["seed"], n_seeds=n_seeds, say=say)
        write_reports(population, summary, run)
    show(f"{final_text(report, run.metric)}\n{run.root / 'report.md'}\n")
    if tracker := config.get("tracker"):
        hint = send_again(run, tracker, population, summary, _warn)
        show(f"{hint}\n" if hint else "")
    return 0


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


if __name__ == "__main__":
    raise SystemExit(main())
