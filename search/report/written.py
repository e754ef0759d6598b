"""Writes report.md and report.html of a search that does not run, or that ends."""

from __future__ import annotations

from operators.population import Population
from search.report.html import render_report_page
from search.report.page import render_report
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary


def write_reports(population: Population, summary: Summary, run: RunDirectory) -> str:
    """Write both reports, and return the text of report.md.

    Raises:
        OSError: If one cannot be written.
    """
    text = render_report(population, summary, run)
    write_atomically(run.root / "report.md", text)
    write_atomically(run.root / "report.html", render_report_page(population, summary, run))
    return text
