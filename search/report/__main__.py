"""Writes report.md, report.html and lineage.html of a search anew: `python -m search.report outputs/NAME`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from search.commands import fails_with_a_line, show
from search.names import given_search
from search.report.written import write_reports
from search.runs.files import write_atomically
from search.runs.finished import read_summary
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.views.lineage import render_lineage


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages of a run directory and print report.md; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m search.report", description=__doc__)
    parser.add_argument("directory", type=given_search, help="folder of a search, such as outputs/NAME")
    run = RunDirectory(parser.parse_args(arguments).directory)
    summary, population = read_summary(run), read_population(run)
    write_atomically(
        run.root / "lineage.html", render_lineage(population, summary, run.metric)
    )  # a killed search's is old
    show(write_reports(population, summary, run))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
