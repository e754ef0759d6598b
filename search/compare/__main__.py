"""Which arm of a sweep is better, and with what confidence: `python -m search.compare outputs/sweeps/NAME`.

Reads finished searches and writes compare.md, compare.html, compare.png and compare.json. Searches whose
configurations differ only in the seed are repetitions of one arm. Arms that cannot be ranked are not ranked. With
--csv it also writes the scores and the best so far of each search, for a figure of one's own.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from search.commands import fails_with_a_line, show
from search.compare.comparison import Comparison, compare
from search.compare.mlflow_run import send_comparison
from search.compare.page import power_text, render_markdown, render_page, verdict_text
from search.compare.picture import draw_comparison
from search.compare.sheets import curves_csv, scores_csv
from search.errors import UserError
from search.names import given_folder
from search.runs.files import write_atomically
from search.runs.finished import SearchRun, find_runs, load_run
from target.words import user_path

_STEM: Final = "compare"


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Compare searches and return the exit code, which is 0 even if the comparison refuses to rank."""
    options = _parser().parse_args(arguments)
    runs, skipped = _load(find_runs(options.directories))
    comparison = compare(runs)
    output = options.output or _default_output(options.directories)
    try:
        files = _write(comparison, runs, skipped, output, sheets=options.csv)
    except OSError as error:
        problem = f"cannot write {error.filename}: {error.strerror}; choose a place with --output"
        raise UserError(problem) from error
    show(files[0].read_text(encoding="utf-8"))
    for path in files:
        show(f"{path}\n")
    sent = send_comparison(comparison, output.resolve().name, files, options.tracking_uri or _tracking_uri(runs[0]))
    if sent:
        show(f"{sent}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "directories", nargs="+", type=given_folder, metavar="DIR", help="folders of searches, or of a sweep"
    )
    parser.add_argument(
        "--output", type=user_path, metavar="DIR", help="where to write (default: the first DIR of a sweep)"
    )
    parser.add_argument("--csv", action="store_true", help="also write compare_scores.csv and compare_curves.csv")
    parser.add_argument("--tracking-uri", help="MLflow tracking URI, or none (default: that of the searches)")
    return parser


def _load(roots: Sequence[Path]) -> tuple[list[SearchRun], list[str]]:
    """Return the searches that have a baseline, and a sentence about each of the others.

    Raises:
        UserError: None has one.
    """
    runs, skipped = [], []
    for root in roots:
        try:
            run = load_run(root)
        except UserError as error:
            skipped.append(str(error))
            continue
        if run.population.champion is None:
            skipped.append(f"{root} has no baseline yet")
        else:
            runs.append(run)
    if not runs:
        raise UserError(f"there is no search to compare: {'; '.join(skipped)}")
    return runs, skipped


def _default_output(directories: Sequence[Path]) -> Path:
    only = directories[0]
    return only if len(directories) == 1 and not (only / "journal.log").exists() else Path("outputs") / "comparison"


def _write(
    comparison: Comparison, runs: Sequence[SearchRun], skipped: Sequence[str], output: Path, *, sheets: bool
) -> list[Path]:
    picture = output / f"{_STEM}.png"
    draw_comparison(picture, comparison)
    title = f"Comparison {output.resolve().name}"
    places = [run.root for run in runs]
    texts = {
        ".md": render_markdown(comparison, title=title, runs=places, skipped=skipped, picture=picture),
        ".html": render_page(comparison, title=title, runs=places, skipped=skipped, picture=picture),
        ".json": json.dumps(_plain(comparison), indent=2) + "\n",
    }
    if sheets:
        texts |= {"_scores.csv": scores_csv(comparison), "_curves.csv": curves_csv(comparison)}
    for suffix, text in texts.items():
        write_atomically(output / f"{_STEM}{suffix}", text)
    return [*(output / f"{_STEM}{suffix}" for suffix in texts), picture]


def _plain(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON types."""
    plain = asdict(comparison)
    for arm, record in zip(comparison.arms, plain["arms"], strict=True):
        record["failure_rate"] = arm.failure_rate
        record["curves"] = {
            axis: {name: each.tolist() for name, each in curve.items()} for axis, curve in record["curves"].items()
        }
    plain = _finite(plain)
    return {**plain, "verdict": verdict_text(comparison), "power": power_text(comparison)}


def _finite(value: Any) -> Any:
    """Return a value with null for each infinite number, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tracking_uri(run: SearchRun) -> str:
    return str((run.config.get("tracker") or {}).get("tracking_uri") or "none")


if __name__ == "__main__":
    raise SystemExit(main())
