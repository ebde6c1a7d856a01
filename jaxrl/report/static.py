"""The same figures as files, drawn by matplotlib."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from jaxrl.report.figures import (
    AGGREGATES,
    COLOURS,
    DASHES,
    LETTERS,
    NEUTRAL,
    Figure,
    dots,
    floor_of,
    pair_labels,
    row_labels,
    scale_of,
    score_range,
    sensitivity_lines,
    sensitivity_rows,
    stepped,
    ticks_of,
)
from jaxrl.report.summary import Aggregate, Row, Section
from jaxrl.text import number, wrapped

WIDTH = 6.4  # inches
LABEL = 30  # letters of a line of a row's label
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "legend.fontsize": "small",
    "legend.frameon": False,
    "figure.dpi": 150,
    "svg.hashsalt": "jaxrl",  # else random
}
LINES = dict(zip(DASHES, ("-", "--", ":", "-."), strict=True))


def save(figure: Figure, section: Section | Aggregate, folder: Path, name: str) -> list[Path]:
    """Draws one figure of an environment and writes it as SVG, PDF and PNG; gives the files."""
    svg, pdf, png = files = [folder / f"{name}.{suffix}" for suffix in ("svg", "pdf", "png")]
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(WIDTH, 4.0), layout="constrained")
        axes = canvas.subplots()
        DRAWN[figure.kind](axes, section, *figure.arguments)
        axes.set_title(f"{figure.title}, {section.environment}"[:90], loc="left", y=1)
        layout = canvas.get_layout_engine()
        assert layout is not None
        layout.execute(canvas)
        canvas.set_layout_engine("none")  # laid out once, for all formats
        # Not by savefig, which draws each twice. Without dates, the same report gives the same bytes.
        FigureCanvasAgg(canvas).print_png(png)  # first, since the others change the resolution
        FigureCanvasSVG(canvas).print_svg(svg, metadata={"Date": None})
        FigureCanvasPdf(canvas).print_pdf(pdf, metadata={"CreationDate": None})
    return files


def learning_curves(axes: Axes, section: Section) -> None:
    """Means, bands and, of few settings, single seeds of the evaluations, or else of the training."""
    by_setting = next(iter(section.curves.values()))
    floor, few = floor_of([*by_setting.values()]), len(section.shown) <= 3
    for place, setting in enumerate(section.shown):
        bands, single, colour = by_setting[setting].bands, by_setting[setting].single, _rgb(COLOURS[place])
        if few:
            axes.plot(single.columns, single.T, color=colour, alpha=0.2, linewidth=0.5)
            low = bands["tolerance_low"].clip(lower=floor)
            axes.fill_between(
                bands["step"], low, bands["tolerance_high"], color=colour, alpha=0.12, linewidth=0
            )
        low, high = bands["pointwise_low"], bands["pointwise_high"]
        axes.fill_between(bands["step"], low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(bands["step"], bands["mean"], color=colour, linewidth=2, zorder=3)
    if section.threshold is not None:
        axes.axhline(section.threshold, color=_rgb(NEUTRAL), linestyle=":", linewidth=1)
    axes.set(xlabel="environment steps", ylabel="return", xlim=(0, max(section.scores["steps"].max(), 1)))
    _name_settings(axes, section)


def final_scores(axes: Axes, section: Section) -> None:
    """A row a setting: its runs, their median and tolerance interval."""
    for place, setting in enumerate(section.shown):
        runs, row = dots(section.scores[section.scores["setting"] == setting]), section.of(setting)
        colour = _rgb(COLOURS[place])
        axes.scatter(runs["score"], 0.6 * runs["shift"] - place, s=12, color=colour, alpha=0.45, linewidth=0)
        _tolerance(axes, row, place, section)
        if np.isfinite(row["median"]):
            axes.plot([row["median"]] * 2, [-place - 0.38, -place + 0.38], color=colour, linewidth=2.5)
    _rows(axes, section, "final score")


def intervals(axes: Axes, section: Section) -> None:
    """A row a setting: the mean with its interval, and the tolerance interval."""
    for place, setting in enumerate(section.shown):
        _tolerance(axes, section.of(setting), place, section)
        _estimate(axes, section.of(setting), "mean", -place, _rgb(COLOURS[place]))
    _rows(axes, section, "final score")


def aggregate(axes: Axes, overall: Aggregate, statistic: str) -> None:
    """A row a setting: one number over all environments, with its interval."""
    for place, setting in enumerate(overall.shown):
        _estimate(axes, overall.of(setting), statistic, -place, _rgb(COLOURS[place]))
    _label_rows(axes, row_labels(overall, "\n", LABEL), f"{AGGREGATES[statistic][0]} of normalised scores")


def profile(axes: Axes, section: Section | Aggregate) -> None:
    """The performance profile with its bands."""
    _shares(axes, section, section.profile, "tau")
    axes.set(xlabel="final score", ylabel="share of runs above it", ylim=(0, 1.03))


def reached(axes: Axes, section: Section) -> None:
    """The share of runs that have reached the threshold by each step, with its interval."""
    _shares(axes, section, section.reached, "step")
    axes.set(xlabel="environment steps", ylabel="share of runs that have reached it", ylim=(0, 1.03))


def improvement(axes: Axes, section: Section) -> None:
    """A row a pair of settings."""
    axes.axvline(0.5, color=_rgb(NEUTRAL), linestyle=":", linewidth=1)
    for place, pair in enumerate(section.comparisons.to_dict("records")):
        colour = _rgb(COLOURS[section.shown.index(pair["a"])])
        _estimate(axes, pair, "improvement", -place, colour, hollow=pair["verdict"] == "undecided")
    _label_rows(axes, pair_labels(section), "probability of improvement", row=0.32)
    axes.set_xlim(-0.03, 1.03)
    _name_settings(axes, section, LETTERS)


def sensitivity(axes: Axes, section: Section, algorithm: str, parameter: str) -> None:
    """Mean and best score along one hyper-parameter."""
    rows = sensitivity_rows(section.sensitivity, algorithm, parameter)
    scale = scale_of(rows["value"].to_list())
    values = rows["value"].astype(str) if scale == "category" else rows["value"].astype(float)
    lines = sensitivity_lines(rows)
    hollow = (rows["failed"] > 0).to_numpy()
    for column, dash in zip(lines, DASHES, strict=False):
        axes.plot(values, rows[column], f"o{LINES[dash]}", color=_rgb(COLOURS[0]), label=column)
        axes.plot(values[hollow], rows[column][hollow], "o", color=_rgb(COLOURS[0]), markerfacecolor="white")
    axes.set(xlabel=parameter, ylabel="mean final score")
    if scale == "log":
        axes.set_xscale("log")
        ticks = ticks_of(values.to_numpy(float))
        axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    if len(lines) > 1:
        axes.legend()


def power(axes: Axes, section: Section) -> None:
    """Power by the runs of each setting, a curve for each true difference."""
    axes.axhline(0.8, color=_rgb(NEUTRAL), linestyle=":", linewidth=1)
    axes.axvline(section.description["runs"].max(), color=_rgb(NEUTRAL), alpha=0.6, linewidth=2)
    for place, (effect, rows) in enumerate(section.power.groupby("effect")):
        style = LINES[DASHES[place % len(DASHES)]]
        label = f"{number(rows['difference'].iloc[0])} ({effect:.3g} sd)"
        colour = _rgb(COLOURS[place % len(COLOURS)])
        axes.plot(rows["runs"], rows["power"], style, color=colour, label=label)
        axes.plot(rows["runs"], rows["resampled"], "o", color=colour, markersize=4)
    axes.set(xlabel="runs of each setting", ylabel="power", ylim=(0, 1.03), xscale="log")
    axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%d"))
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.legend(title="true difference")


DRAWN: dict[str, Callable[..., None]] = {
    function.__name__: function
    for function in (
        *(learning_curves, final_scores, intervals, aggregate, profile, reached),
        *(improvement, sensitivity, power),
    )
}


def _shares(axes: Axes, shown: Section | Aggregate, table: pd.DataFrame, x: str) -> None:
    """The column share of a table along x, a stepped line with its band for each setting."""
    for place, setting in enumerate(shown.shown):
        rows, colour = stepped(table[table["setting"] == setting], x), _rgb(COLOURS[place])
        axes.fill_between(
            rows[x], rows["share_low"], rows["share_high"], color=colour, alpha=0.2, linewidth=0
        )
        axes.plot(rows[x], rows["share"], color=colour, linewidth=2, zorder=3)
    _name_settings(axes, shown)


def _rows(axes: Axes, section: Section, x: str) -> None:
    """Names the rows, one of each setting, the first one on top."""
    if section.threshold is not None:
        axes.axvline(section.threshold, color=_rgb(NEUTRAL), linestyle=":", linewidth=1)
    _label_rows(axes, row_labels(section, "\n", LABEL), x)
    axes.set_xlim(*score_range(section))


def _label_rows(axes: Axes, labels: list[str], x: str, row: float = 0.5) -> None:
    lines = max(label.count("\n") + 1 for label in labels)
    canvas = axes.get_figure(root=True)
    assert canvas is not None
    canvas.set_figheight(1.1 + len(labels) * max(row, 0.2 * lines + 0.1))
    axes.set_yticks([-place for place in range(len(labels))], labels)
    axes.set(xlabel=x, ylim=(0.5 - len(labels), 0.5))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _estimate(axes: Axes, row: Row, name: str, y: float, colour: tuple, hollow: bool = False) -> None:
    """An estimate with its interval, as a point with a thick line."""
    axes.plot(
        [row[f"{name}_low"], row[f"{name}_high"]], [y, y], color=colour, linewidth=4, solid_capstyle="butt"
    )
    face = "white" if hollow else colour
    axes.plot(
        row[name], y, "o", markersize=8, markerfacecolor=face, markeredgecolor=colour, markeredgewidth=2
    )


def _tolerance(axes: Axes, row: Row, place: int, section: Section) -> None:
    """The tolerance interval as a thin line; from the lowest score on where it begins at a failed run."""
    low = max(row["tolerance_low"], section.scores["score"].min())
    axes.plot([low, row["tolerance_high"]], [-place, -place], color=_rgb(COLOURS[place]), linewidth=1.2)


def _name_settings(axes: Axes, section: Section | Aggregate, letters: str = "") -> None:
    """A legend below, of several settings, each with its letter if there are any."""
    if len(section.shown) > 1:
        names = section.names
        lines = [Line2D([], [], color=_rgb(colour), linewidth=2) for colour in COLOURS[: len(section.shown)]]
        labels = [wrapped(names[setting], "\n", width=60) for setting in section.shown]
        if letters:
            labels = [f"{letter}  {label}" for letter, label in zip(letters, labels, strict=False)]
        columns = 2 if max(map(len, labels)) < 36 else 1
        canvas = axes.get_figure(root=True)
        assert canvas is not None
        canvas.set_figheight(canvas.get_figheight() + 0.2 * len(labels) / columns)
        canvas.legend(lines, labels, loc="outside lower left", ncols=columns)


def _rgb(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    return colour[0] / 255, colour[1] / 255, colour[2] / 255
