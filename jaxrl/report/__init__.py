"""The report: one offline HTML file about one study or several."""

from jaxrl.report.page import write_report

__all__ = ["write_report"]
