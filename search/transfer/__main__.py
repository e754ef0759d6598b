"""Does the gain hold at another size or budget? `python -m search.transfer NAME --scale KEY=VALUE --budget 2x`.

Baseline and best program are trained on a few fresh seeds with other constants (`--scale target.constants.DEPTH=12`),
other settings of the target (`--scale target.sequence_tokens=128`) or more time (`--budget 2x`, or seconds). With
`--steps` the best program is also trained without each step of its lineage. What was trained is kept in `transfer/` of
the search, one folder for each size: the same command continues after an interruption. The search is not changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from operators.population import Population
from operators.prompts.history import lineage
from search.best import program_of
from search.commands import fails_with_a_line, say, show
from search.composed import make_target, read_config
from search.errors import UserError
from search.names import find_search
from search.report import write_reports
from search.retraining import fresh_seeds, improvement
from search.runs.files import write_atomically
from search.runs.finished import read_summary
from search.runs.lock import holder, locked
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.tracking.later import record
from search.transfer.check import Transfer
from search.transfer.finding import finding_of
from search.transfer.record import FILE, Record, TransferReport, folder_of
from search.transfer.scale import read_scale
from search.transfer.text import transfer_text
from target.base import Target
from target.words import user_path

_MLFLOW: Final = {"_target_": "search.mlflow.tracker.MlflowTracker"}
_NO_TRACKER: Final = {"_target_": "search.tracker.NullTracker"}


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure at another size; return the exit code, which is 0 for any verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m search.transfer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("search", help="name of a search in outputs, or its folder")
    parser.add_argument(
        "--scale", action="append", default=[], metavar="KEY=VALUE", help="a setting below target, or target=CHOICE"
    )
    parser.add_argument("--budget", metavar="2x", help="training budget: a factor such as 2x, or seconds")
    parser.add_argument("--seeds", type=int, default=3, help="fresh seeds (default: %(default)s)")
    parser.add_argument("--steps", action="store_true", help="also train the best program without each of its steps")
    parser.add_argument("--again", action="store_true", help="train what failed in an earlier call once more")
    parser.add_argument("--workers", type=int, help="trainings side by side (default: as in the search)")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--tracking-uri", help="MLflow tracking URI, or none (default: the tracker of the search)")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error(f"--seeds must be at least 2, got {options.seeds}")
    if not options.scale and options.budget is None:
        parser.error("give --scale or --budget; at the size of the search, graft final trains both programs again")
    try:
        return _transfer(find_search(options.search), options)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command continues\n")
        return 130


def _transfer(run: RunDirectory, options: argparse.Namespace) -> int:
    config, summary, population = read_config(run), read_summary(run), read_population(run)
    if process := holder(run.lock):
        raise UserError(f"{run.root} is in use by {process}: wait for its end; graft stop ends a search in order")
    with locked(run.lock):
        with run.where_started() as there:
            report, folder = _measure(there, run.root, config, population, options)
        write_reports(population, summary, run)
    show(f"{transfer_text(report, summary.name, run.metric)}\n{folder}\n{run.root / 'report.md'}\n")
    tracker = config.get("tracker") or _NO_TRACKER
    if options.tracking_uri:
        tracker = _NO_TRACKER if options.tracking_uri == "none" else {**_MLFLOW, "tracking_uri": options.tracking_uri}
    if sent := record(finding_of(report, summary.name, folder / FILE, run.metric), run, tracker):
        show(f"{sent}\n")
    if options.json:
        write_atomically(options.json, json.dumps(report.to_json(), indent=2) + "\n")
    return 0


def _measure(
    run: RunDirectory, given: Path, config: Mapping[str, Any], population: Population, options: argparse.Namespace
) -> tuple[TransferReport, Path]:
    """Return the report and the folder of its trainings.

    Args:
        run: The folder of the search.
        given: The same as the user gave it, for messages.
        config: Of the search.
        population: Its trials.
        options: Of the command line.
    """
    import hydra.utils

    if make_target(config["target"]).kind is None:
        raise UserError(
            f"{given} is simulated: its trainings have no size and no budget, so nothing can be transferred"
        )
    baseline, best = improvement(population, given)
    scale = read_scale(options.scale, options.budget, config["target"], program_of(baseline))
    target: Target = make_target(scale.target(config["target"]))
    chosen = {} if options.workers is None else {"workers": options.workers}
    record = Record(folder_of(run, scale.slug))
    if options.again:
        record.trainings.forget_failed()
    transfer = Transfer(
        record,
        [trial for trial in lineage(best, population)[::-1] if trial.program],
        population,
        scale=scale,
        target=config["target"],
        metric=run.metric,
        seeds=fresh_seeds(config["seed"], options.seeds, population),
        executor=target.make_executor(hydra.utils.instantiate(config["executor"], **chosen)),
        say=say,
    )
    return transfer.run(with_steps=options.steps), record.folder


if __name__ == "__main__":
    raise SystemExit(main())
