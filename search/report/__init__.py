"""The report of a search: what was found, and how far to believe it."""

from search.report.html import render_report_page
from search.report.page import render_report
from search.report.written import write_reports

__all__ = ["render_report", "render_report_page", "write_reports"]
