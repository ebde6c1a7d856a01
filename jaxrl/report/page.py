"""The report's page, one HTML file that needs no network, and the figures as files beside it."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np
import pandas as pd
import plotly.offline

from jaxrl.errors import InputError, unknown
from jaxrl.report import interactive, static
from jaxrl.report.conclusions import findings, limits, progress, study_limits
from jaxrl.report.curve_figures import LAYERS, learning_curves, power, profile, reached, sensitivity
from jaxrl.report.figures import COLOURS, LETTERS, Figure
from jaxrl.report.films import FRAMES, Film, films_of_studies
from jaxrl.report.glance import chips, sparkline
from jaxrl.report.row_figures import AGGREGATES, aggregate, final_scores, improvement, intervals
from jaxrl.report.summary import Aggregate, Effect, Row, Section, Summary, summarise
from jaxrl.statistics import RESAMPLES, Interval, label_settings
from jaxrl.statistics.intervals import RESAMPLING_SEED
from jaxrl.store.files import subfolder, write_text
from jaxrl.store.folder import Folder
from jaxrl.store.results import Results, load
from jaxrl.store.working_copy import opened, output
from jaxrl.text import bounds, file_name, number, percent

LISTED = 200  # failed runs in the page


def write_report(
    path: str | os.PathLike[str],
    smallest_effect: Effect = None,
    out: str | os.PathLike[str] | None = None,
    films: bool = False,
) -> Path:
    """Writes `report.html` and `figures/` on a results folder, or on all results folders in a folder.

    smallest_effect: the smallest difference of mean returns that matters. One number holds for all
    environments; a dict has one for each, by name or label (`CartPole-v1 pole_length=0.5`). Without it no two
    settings are called equivalent. out: the folder for them, by default `path`. films: embeds an episode of
    the best, the median and the worst run of each setting drawn. Gives the page's path. Raises InputError if
    there is no complete study, if nothing can be written there, for an effect that is not above 0 or of an
    unknown environment, or if there is nothing to film.
    """
    folder = opened(path).path
    studies = [load(study) for study in find_studies(folder)]
    require_effect(smallest_effect, studies)
    title = folder.resolve().name
    return write_studies(studies, output(out, folder), smallest_effect, title, films)


def write_studies(
    studies: Sequence[Results],
    folder: Path,
    smallest_effect: Effect = None,
    title: str | None = None,
    films: bool = False,
    refresh: float | None = None,
) -> Path:
    """Writes the report on some studies into a folder, whose name is the title by default.

    refresh: seconds after which a browser reads the page again. Returns the page's path.
    """
    rng = np.random.default_rng(RESAMPLING_SEED)
    summaries = [summarise(results, rng, smallest_effect) for results in studies]
    drawn = [[*map(figures_of, summary.sections), figures_over(summary.overall)] for summary in summaries]
    shown = films_of_studies(studies, summaries) if films else None
    html = render(summaries, drawn, title or folder.resolve().name, shown, refresh)
    page = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = subfolder(folder, "figures")
        write_text(page, html)
        taken: set[str] = set()
        for summary, of_study in zip(summaries, drawn, strict=True):
            study = [summary.name] if len(summaries) > 1 else []
            environments = [*(section.environment for section in summary.sections), "all environments"]
            for environment, figures in zip(environments, of_study, strict=True):
                ending = unused(file_name("-".join([*study, environment])), taken)
                for figure in figures:
                    static.save(figure, environment, files, f"{file_name(figure.name)}-{ending}")
    except OSError as error:
        blocked = error.filename2 or error.filename or folder  # filename2 is the one to be replaced
        raise InputError(f"{blocked} cannot be written: {error.strerror}") from None
    return page


def find_studies(folder: Path) -> list[Path]:
    """The folder of a study itself, or the studies in the folders directly below it, in order of creation."""
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is not a folder")
        if (folder / "manifest.json").exists():
            return [folder]
        manifests = sorted(folder.glob("*/manifest.json"))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    if not manifests:
        raise InputError(f"{folder} holds no study: neither it nor a folder in it has a manifest.json")
    studies = [manifest.parent for manifest in manifests]
    return sorted(studies, key=lambda study: Folder(study).manifest()["created"])


def require_effect(smallest_effect: Effect, studies: Sequence[Results]) -> None:
    """Raises InputError for a smallest effect that is not above 0 or of an unknown environment."""
    environments: set[str] = set()
    for results in studies:
        environments.update(results.runs["environment"], label_settings(results.runs)["environment"])
    given = smallest_effect if isinstance(smallest_effect, Mapping) else {"": smallest_effect}
    for name, value in given.items():
        if name and name not in environments:
            raise unknown("environment", name, sorted(environments))
        if value is not None and not 0 < value < np.inf:
            raise InputError(f"smallest_effect must be above 0 and finite, got {value!r}")


def render(
    summaries: Sequence[Summary],
    figures: Sequence[Sequence[Sequence[Figure]]],
    title: str,
    films: Sequence[Sequence[Sequence[Film]]] | None = None,
    refresh: float | None = None,
) -> str:
    """The page on some studies.

    figures: for each study those of its sections in turn, and those over all environments. films: for each
    study those of its sections in turn. refresh: seconds after which a browser reads the page again.
    """
    loader = jinja2.PackageLoader("jaxrl", "report")
    templates = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"number": number, "marked": marked, "plotted": plotted}
    return templates.get_template("template.html").render(
        title=title,
        summaries=summaries,
        resamples=RESAMPLES,
        listed=LISTED,
        colours=[f"rgb{colour}" for colour in COLOURS],
        letters=LETTERS,
        layers=LAYERS,
        figures=figures,
        films=films,
        film_frames=FRAMES,
        refresh=refresh,
        **{f.__name__: f for f in (abridged, bounds, chips, share, sparkline, time_of, where_failed)},
        findings=findings,
        limits=limits,
        progress=progress,
        study_limits=study_limits,
        plotly_js=plotly.offline.get_plotlyjs(),
    )


def figures_of(section: Section) -> list[Figure]:
    """The figures that can be drawn of an environment."""
    figures = [learning_curves(section)] if section.curves else []
    if section.scores["score"].notna().any():
        figures += [final_scores(section), intervals(section), profile(section)]
        if not section.reached.empty:
            figures.append(reached(section))
        if not section.comparisons.empty:
            figures.append(improvement(section))
    if not section.sensitivity.empty:
        values = section.sensitivity.groupby(["algorithm", "parameter"], sort=False)["value"].nunique()
        figures += [sensitivity(section, *names) for names in values.index[values > 1]]
    if not section.power.empty:
        figures.append(power(section))
    return figures


def figures_over(overall: Aggregate | None) -> list[Figure]:
    """The figures over all environments of a study, if there is an aggregate."""
    if overall is None:
        return []
    statistics = AGGREGATES if overall.table["mean_low"].notna().any() else ()
    return [*(aggregate(overall, statistic) for statistic in statistics), profile(overall)]


def plotted(figure: Figure) -> str:
    """A figure as plotly's JSON, in which no character ends a script."""
    return interactive.draw(figure).to_json()


def unused(name: str, taken: set[str]) -> str:
    """The name, or one with a number where it is taken; takes it."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}-{count}"
    taken.add(found)
    return found


def marked(sentence: str) -> markupsafe.Markup:
    """A sentence as HTML, with the names in `backticks` in bold."""
    escaped = str(markupsafe.escape(sentence.replace(" %", "\N{NO-BREAK SPACE}%")))
    return markupsafe.Markup(re.sub(r"`([^`]*)`", r"<b>\1</b>", escaped))


def share(row: Row) -> str:
    """The share of runs that solve the environment, from a row of a description."""
    if np.isnan(row["solved"]):
        return "-"
    return percent(Interval(row["solved"], row["solved_low"], row["solved_high"]))


def time_of(row: Row, threshold: float | None) -> str:
    """The median steps to the return that counts as solved, from a row of a description.

    The upper bound is "later" where the interval has none.
    """
    if threshold is None:
        return "-"
    if np.isnan(row["time"]):
        return "not by half"
    late = "later" if np.isnan(row["time_high"]) else number(row["time_high"])
    return f"{number(row['time'])} [{number(row['time_low'])}, {late}]"


def where_failed(run: Row) -> str:
    """Which value of a failed run was first not finite, and at which iteration, if the table says so."""
    metric, iteration = run.get("failed_metric"), run.get("failed_iteration")
    where = "at its end" if pd.isna(iteration) else f"at iteration {iteration:,}"
    return f"{'state' if pd.isna(metric) else metric}, {where}"


def abridged(manifest: Mapping[str, Any]) -> str:
    """A manifest as JSON, with long lists of numbers cut to their ends."""

    def short(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: short(each) for name, each in value.items()}
        if isinstance(value, list) and len(value) > 12 and all(isinstance(each, int) for each in value):
            return f"{value[0]}, {value[1]}, ..., {value[-1]} ({len(value):,} numbers)"
        return [short(each) for each in value] if isinstance(value, list) else value

    return json.dumps(short(manifest), indent=2)
