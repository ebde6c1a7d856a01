"""The figures of the page, drawn by plotly.

A trace's `meta` says when it is seen: the controls choose settings, by their place in `shown`, the kind of
curves and the layers.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from jaxrl.report.figures import (
    AGGREGATES,
    COLOURS,
    DASHES,
    NEUTRAL,
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
from jaxrl.report.summary import Aggregate, Curves, Row, Section
from jaxrl.text import bounds, number

ROW = 46  # pixels of a row
LABEL = 24  # letters of a line of its label


def learning_curves(section: Section) -> go.Figure:
    """Both kinds of curves of every setting: means, bands and single seeds."""
    steps = max(int(section.scores["steps"].max()), 1)
    figure = _figure("environment steps", "return", height=420, xaxis={"range": [0, steps]})
    for kind, by_setting in section.curves.items():
        floor = floor_of([*by_setting.values()])
        settings = [
            _curve_traces(by_setting[setting], COLOURS[place], {"setting": [place], "kind": kind}, floor)
            for place, setting in enumerate(section.shown)
        ]
        for layer in zip(*settings, strict=True):  # so no setting's bands cover another's mean
            figure.add_traces(layer)
    if section.threshold is not None:
        figure.add_hline(section.threshold, line={"dash": "dot", "width": 1, "color": _css(NEUTRAL)})
    return figure


def final_scores(section: Section) -> go.Figure:
    """A row a setting: its runs, their median and tolerance interval."""
    figure = _rows_figure(section, "final score")
    for place, setting in enumerate(section.shown):
        runs, described = dots(section.scores[section.scores["setting"] == setting]), section.of(setting)
        colour = COLOURS[place]
        figure.add_trace(
            go.Scatter(
                x=_narrow(runs["score"]),
                y=_narrow(0.6 * runs["shift"] - place),
                customdata=runs["seed"].to_numpy(),
                mode="markers",
                marker={"size": 6, "color": _css(colour, 0.45)},
                meta={"setting": [place]},
                hovertemplate="seed %{customdata}: %{x:.4g}<extra></extra>",
            )
        )
        figure.add_trace(_tolerance(described, place, section))
        if np.isfinite(described["median"]):
            figure.add_trace(
                go.Scatter(
                    x=[described["median"]] * 2,
                    y=[-place - 0.38, -place + 0.38],
                    mode="lines",
                    line={"width": 3, "color": _css(colour)},
                    meta={"setting": [place]},
                    hovertemplate="median %{x:.4g}<extra></extra>",
                )
            )
    return figure


def intervals(section: Section) -> go.Figure:
    """A row a setting: the mean with its interval, and the tolerance interval."""
    figure = _rows_figure(section, "final score")
    for place, setting in enumerate(section.shown):
        row = section.of(setting)
        figure.add_trace(_tolerance(row, place, section))
        figure.add_trace(_estimate(row, "mean", -place, COLOURS[place], {"setting": [place]}))
    return figure


def aggregate(overall: Aggregate, statistic: str) -> go.Figure:
    """A row a setting: one number over all environments, with its interval."""
    figure = _rows_layout(
        row_labels(overall, "<br>", LABEL), f"{AGGREGATES[statistic][0]} of normalised scores"
    )
    for place, setting in enumerate(overall.shown):
        meta = {"setting": [place]}
        figure.add_trace(_estimate(overall.of(setting), statistic, -place, COLOURS[place], meta))
    return figure


def profile(section: Section | Aggregate) -> go.Figure:
    """The performance profile with its bands."""
    figure = _figure("final score", "share of runs above it", height=360, yaxis={"range": [0, 1.03]})
    return _shares(figure, section, section.profile, "tau", "%{y:.0%} of runs above %{x:.4g}")


def reached(section: Section) -> go.Figure:
    """The share of runs that have reached the threshold by each step, with its interval."""
    shares = {"range": [0, 1.03]}
    figure = _figure("environment steps", "share of runs that have reached it", height=360, yaxis=shares)
    return _shares(figure, section, section.reached, "step", "%{y:.0%} of runs by %{x:,}")


def improvement(section: Section) -> go.Figure:
    """A row a pair of settings."""
    names, axis = section.names, {"range": [-0.03, 1.03]}
    figure = _rows_layout(pair_labels(section), "probability of improvement", axis, row=32)
    figure.add_vline(0.5, line={"dash": "dot", "width": 1, "color": _css(NEUTRAL)})
    for place, pair in enumerate(section.comparisons.to_dict("records")):
        first, second = section.shown.index(pair["a"]), section.shown.index(pair["b"])
        trace = _estimate(pair, "improvement", -place, COLOURS[first], {"setting": [first, second]})
        trace.hovertemplate = f"{names[pair['a']]}<br>> {names[pair['b']]}:<br>{trace.hovertemplate}"
        trace.marker.symbol = "circle-open" if pair["verdict"] == "undecided" else "circle"
        figure.add_trace(trace)
    return figure


def sensitivity(section: Section, algorithm: str, parameter: str) -> go.Figure:
    """Mean and best score along one hyper-parameter."""
    rows = sensitivity_rows(section.sensitivity, algorithm, parameter)
    scale = scale_of(rows["value"].to_list())
    values = rows["value"].astype(str) if scale == "category" else rows["value"].astype(float)
    axis: dict = {"type": scale}
    if scale == "log":  # else plotly writes 300µ for 0.0003
        ticks = ticks_of(values.to_numpy(float))
        axis |= {"tickvals": ticks, "ticktext": [f"{value:g}" for value in ticks]}
    figure = _figure(parameter, "mean final score", height=320, xaxis=axis)
    for column, dash in zip(sensitivity_lines(rows), DASHES, strict=False):
        figure.add_trace(
            go.Scatter(
                x=values.to_numpy(),
                y=rows[column].to_numpy(float),
                customdata=rows[["settings", "failed"]].to_numpy(),
                mode="lines+markers",
                line={"color": _css(COLOURS[0]), "dash": dash},
                marker={
                    "size": 8,
                    "symbol": np.where(rows["failed"] > 0, "circle-open", "circle").tolist(),
                },
                hovertemplate=f"{column} of %{{customdata[0]}}: %{{y:.4g}} at %{{x}}, "
                "%{customdata[1]} runs failed<extra></extra>",
            )
        )
    return figure


def power(section: Section) -> go.Figure:
    """Power by the runs of each setting, a curve for each true difference."""
    ticks = {"type": "log", "tickvals": [digit * 10**zeros for zeros in range(7) for digit in (1, 2, 5)]}
    figure = _figure("runs of each setting", "power", height=360, xaxis=ticks, yaxis={"range": [0, 1.03]})
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.22, "yanchor": "top"})
    figure.add_hline(0.8, line={"dash": "dot", "width": 1, "color": _css(NEUTRAL)})
    figure.add_vline(int(section.description["runs"].max()), line={"width": 2, "color": _css(NEUTRAL, 0.6)})
    for place, (effect, rows) in enumerate(section.power.groupby("effect")):
        colour, resampled = _css(COLOURS[place % len(COLOURS)]), rows.dropna(subset="resampled")
        shared = {"legendgroup": str(place), "hovertemplate": "%{x} runs of each: %{y:.0%}<extra></extra>"}
        figure.add_trace(
            go.Scatter(
                x=rows["runs"].to_numpy(),
                y=rows["power"].to_numpy(),
                name=f"{number(rows['difference'].iloc[0])} ({effect:.3g} sd)",
                mode="lines",
                line={"color": colour, "dash": DASHES[place % len(DASHES)]},
                **shared,
            )
        )
        figure.add_trace(
            go.Scatter(
                x=resampled["runs"].to_numpy(),
                y=resampled["resampled"].to_numpy(),
                mode="markers",
                marker={"color": colour, "size": 7},
                showlegend=False,
                **shared,
            )
        )
    return figure


def _shares(
    figure: go.Figure, shown: Section | Aggregate, table: pd.DataFrame, x: str, hover: str
) -> go.Figure:
    """Adds the column share of a table along x, a stepped line with its band for each setting."""
    for place, setting in enumerate(shown.shown):
        rows, meta = stepped(table[table["setting"] == setting], x), {"setting": [place]}
        figure.add_trace(_filled(rows, x, "share", _css(COLOURS[place], 0.2), meta))
        figure.add_trace(
            go.Scatter(
                x=_narrow(rows[x]),
                y=_narrow(rows["share"]),
                mode="lines",
                line={"width": 2.5, "color": _css(COLOURS[place])},
                meta=meta,
                hovertemplate=f"{hover}<extra></extra>",
            )
        )
    return figure


DRAWN: dict[str, Callable[..., go.Figure]] = {
    function.__name__: function
    for function in (
        *(learning_curves, final_scores, intervals, aggregate, profile, reached),
        *(improvement, sensitivity, power),
    )
}


def _figure(x: str, y: str, height: int, xaxis: dict | None = None, yaxis: dict | None = None) -> go.Figure:
    """An empty figure; the page adds the colours of text and grid."""
    layout = {
        "template": "none",
        "height": height,
        "margin": {"l": 60, "r": 14, "t": 10, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": x}, "zeroline": False, **(xaxis or {})},
        "yaxis": {"title": {"text": y}, "zeroline": False, **(yaxis or {})},
    }
    return go.Figure(layout=layout)


def _rows_figure(section: Section, x: str) -> go.Figure:
    """A figure with a row for each setting, the first one on top."""
    figure = _rows_layout(row_labels(section, "<br>", LABEL), x, {"range": score_range(section)})
    if section.threshold is not None:
        figure.add_vline(section.threshold, line={"dash": "dot", "width": 1, "color": _css(NEUTRAL)})
    return figure


def _rows_layout(labels: list[str], x: str, xaxis: dict | None = None, row: int = ROW) -> go.Figure:
    lines = max(label.count("<br>") + 1 for label in labels)
    yaxis = {
        "tickvals": [-place for place in range(len(labels))],
        "ticktext": labels,
        "range": [0.6 - len(labels), 0.6],
        "automargin": True,
        "showgrid": False,
        "title": None,
    }
    return _figure(x, "", 80 + len(labels) * max(row, 17 * lines + 6), xaxis, yaxis)


def _curve_traces(curves: Curves, colour: tuple[int, int, int], meta: dict, floor: float) -> list[go.Scatter]:
    """Single seeds, bands and mean of one setting, from back to front."""
    bands, single = curves.bands, curves.single
    steps = _narrow(bands["step"])
    gap = np.full((len(single), 1), np.nan)
    seeds = go.Scatter(
        x=np.tile(np.append(steps, steps.dtype.type(np.nan)), len(single)),
        y=_narrow(np.hstack([single, gap])).ravel(),
        customdata=np.repeat(single.index.to_numpy(), len(steps) + 1),
        mode="lines",  # else plotly marks the points of short curves
        line={"width": 0.8, "color": _css(colour, 0.3)},
        meta=meta | {"layer": "seeds"},
        hovertemplate="seed %{customdata}: %{y:.4g} at %{x:,}<extra></extra>",
    )
    whole = bands[["whole_low", "whole_high"]]
    gap = np.full((1, 2), np.nan)
    return [
        seeds,
        _filled(
            bands.assign(tolerance_low=bands["tolerance_low"].clip(lower=floor)),
            "step",
            "tolerance",
            _css(colour, 0.12),
            meta | {"layer": "tolerance"},
        ),
        go.Scatter(
            x=np.tile(np.append(steps, steps.dtype.type(np.nan)), 2),
            y=_narrow(np.vstack([whole, gap]).T).ravel(),
            mode="lines",
            line={"width": 1, "dash": "dash", "color": _css(colour)},
            meta=meta | {"layer": "whole"},
            hoverinfo="skip",
        ),
        _filled(bands, "step", "pointwise", _css(colour, 0.25), meta | {"layer": "pointwise"}),
        go.Scatter(
            x=steps,
            y=_narrow(bands["mean"]),
            mode="lines",
            line={"width": 3, "color": _css(colour)},
            meta=meta,
            hovertemplate="mean %{y:.4g} at %{x:,}<extra></extra>",
        ),
    ]


def _filled(table: pd.DataFrame, x: str, band: str, colour: str, meta: dict) -> go.Scatter:
    """A band of a table, <band>_low to <band>_high along the column x, as an outline where it has both."""
    values = _narrow(table[[x, f"{band}_low", f"{band}_high"]])
    along, low, high = values[np.isfinite(values).all(axis=1)].T
    return go.Scatter(
        x=np.concatenate([along, along[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        mode="lines",
        fill="toself",
        fillcolor=colour,
        line={"width": 0},
        meta=meta,
        hoverinfo="skip",
    )


def _estimate(row: Row, name: str, y: float, colour: tuple[int, int, int], meta: dict) -> go.Scatter:
    """An estimate with its interval, as a point with a thick line."""
    estimate, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    return go.Scatter(
        x=[low, estimate, high],
        y=[y] * 3,
        mode="lines+markers",
        line={"width": 5, "color": _css(colour)},
        marker={
            "size": [0, 12, 0],
            "opacity": 1,
            "color": _css(colour),
            "line": {"width": 2, "color": _css(colour)},
        },
        meta=meta,
        hovertemplate=f"{number(estimate)} {bounds(low, high)}<extra></extra>",
    )


def _tolerance(row: Row, place: int, section: Section) -> go.Scatter:
    """The tolerance interval as a thin line; from the lowest score on where it begins at a failed run."""
    low = max(row["tolerance_low"], section.scores["score"].min())
    written = bounds(row["tolerance_low"], row["tolerance_high"])
    return go.Scatter(
        x=[low, row["tolerance_high"]] if np.isfinite(row["tolerance_high"]) else [],
        y=[-place] * 2,
        mode="lines",
        line={"width": 1.5, "color": _css(COLOURS[place])},
        meta={"setting": [place]},
        hovertemplate=f"nine in ten runs {written}<extra></extra>",
    )


def _narrow(values: npt.ArrayLike) -> np.ndarray:
    """Values in four bytes each, to keep the page small, unless they are too large for it."""
    values = np.asarray(values, np.float64)
    return values if np.nanmax(np.abs(values), initial=0) >= 2**24 else values.astype(np.float32)


def _css(colour: tuple[int, int, int], opacity: float = 1.0) -> str:
    return f"rgba({', '.join(map(str, colour))}, {opacity:g})"
