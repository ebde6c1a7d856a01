"""The report's page: sections into one HTML file that needs no network."""

import os
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
import plotly.offline

from jaxrl.errors import InputError
from jaxrl.report.figures import learning_curves, sparkline
from jaxrl.report.summary import summarise
from jaxrl.results import Results, load
from jaxrl.statistics import Interval
from jaxrl.statistics.intervals import RESAMPLES

RESAMPLING_SEED = 0  # of the bootstrap, so that a report can be made again


def write_report(path: str | os.PathLike[str]) -> Path:
    """Writes `report.html` into a results folder, or into a folder of such folders; gives its path.

    Raises InputError if there is no complete study in it.
    """
    folder = Path(path)
    studies = find_studies(folder)
    rng = np.random.default_rng(RESAMPLING_SEED)
    sections = [section for results in studies for section in summarise(results, rng)]
    loader = jinja2.PackageLoader("jaxrl", "report")
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    templates.filters["number"] = number
    templates.filters["interval"] = interval
    templates.filters["percent"] = percent
    html = templates.get_template("template.html").render(
        title=folder.resolve().name,
        sections=sections,
        studies=studies,
        resamples=RESAMPLES,
        learning_curves=learning_curves,
        sparkline=sparkline,
        plotly_js=plotly.offline.get_plotlyjs(),
    )
    file = folder / "report.html"
    try:
        file.write_text(html, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from None
    return file


def find_studies(folder: Path) -> Sequence[Results]:
    """The study in a folder, or those in the folders directly below it, in order of creation."""
    try:
        if (folder / "manifest.json").exists():
            return [load(folder)]
        manifests = sorted(folder.glob("*/manifest.json"))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    if not manifests:
        raise InputError(f"{folder} holds no study: neither it nor a folder in it has a manifest.json")
    studies = [load(manifest.parent) for manifest in manifests]
    return sorted(studies, key=lambda results: results.manifest["created"])


def number(value: float) -> str:
    """About four digits: 0.7412, 9.5, 498.3, 38,123, 4.02 M."""
    if np.isnan(value):
        return "none"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def interval(estimate: Interval) -> str:
    """The bounds of an interval: "[476.7, 487.4]"."""
    if np.isnan(estimate.low):
        return "(no interval)"
    return f"[{number(estimate.low)}, {number(estimate.high)}]"


def percent(share: Interval) -> str:
    """A share with its interval: "98 % [92, 100]"."""
    return f"{100 * share.estimate:.3g} % [{100 * share.low:.3g}, {100 * share.high:.3g}]"
