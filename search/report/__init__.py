"""The report of a search: what was found, and how far to believe it."""

from search.report.page import render_report

__all__ = ["render_report"]
