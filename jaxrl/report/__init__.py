"""The report: one offline HTML file about one study or several."""

from jaxrl.report.page import write_report
from jaxrl.report.watching import watch_report

__all__ = ["watch_report", "write_report"]
