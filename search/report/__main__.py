"""Writes report.md of a search anew: `python -m search.report outputs/NAME`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from search.commands import fails_with_a_line, show
from search.names import given_folder
from search.report.page import render_report
from search.runs.files import write_atomically
from search.runs.finished import read_summary
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Write report.md of a run directory and print it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m search.report", description=__doc__)
    parser.add_argument("directory", type=given_folder, help="folder of a search, such as outputs/NAME")
    run = RunDirectory(parser.parse_args(arguments).directory)
    summary = read_summary(run)
    text = render_report(read_population(run), summary, run)
    write_atomically(run.root / "report.md", text)
    show(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
