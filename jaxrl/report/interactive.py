"""Draws figures for the page, with plotly."""

import html

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from jaxrl.report.figures import Axis, Band, Colour, Dots, Figure, Line, Mark, Rule


def draw(figure: Figure) -> go.Figure:
    """The figure; the page adds the colours of text and grid, and shows a trace by its `meta`."""
    title = {"text": figure.legend_title, "side": "top"}
    layout = {
        "template": "none",
        "height": figure.height,
        "margin": {"l": 60, "r": 14, "t": 10, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": any(mark.legend for mark in figure.marks),
        "legend": {"orientation": "h", "y": -0.25, "yanchor": "top", "title": title},
        "hovermode": "closest",
        "xaxis": _axis(figure.x),
        "yaxis": _axis(figure.y),
    }
    traces = [_trace(mark) for mark in figure.marks if not isinstance(mark, Rule)]
    named: set[str] = set()
    for trace in traces:
        trace["showlegend"] = trace["name"] not in {"", *named}
        named.add(trace["name"])
    drawn = go.Figure([go.Scatter(trace) for trace in traces], layout)
    for rule in figure.marks:
        if isinstance(rule, Rule):
            line = {"width": rule.width, "dash": rule.dash, "color": _css(rule.colour, rule.opacity)}
            (drawn.add_vline if rule.axis == "x" else drawn.add_hline)(rule.at, line=line)
    return drawn


def _axis(axis: Axis) -> dict:
    layout: dict = {"title": {"text": _text(axis.label)}, "zeroline": False}
    if axis.log:
        layout["type"] = "log"
    if axis.limits is not None:
        layout["range"] = [float(end) for end in (np.log10(axis.limits) if axis.log else axis.limits)]
    if axis.ticks is not None:
        layout |= {"tickvals": [*axis.ticks], "ticktext": [_text(label) for label in axis.ticks.values()]}
    if axis.rows:
        layout |= {"automargin": True, "showgrid": False, "title": None}
    return layout


def _trace(mark: Mark) -> dict:
    """A mark as one of plotly's scatter traces."""
    colour = _css(mark.colour, mark.opacity)
    trace: dict = {"name": mark.legend, "legendgroup": mark.legend, "meta": {**mark.controls}}
    data = mark.customdata
    if data is not None and data.dtype == object:  # text
        data = np.vectorize(_text, otypes=[object])(data)
    if mark.hover:
        trace |= {"hovertemplate": f"{_text(mark.hover)}<extra></extra>", "customdata": data}
    else:
        trace["hoverinfo"] = "skip"
    match mark:
        case Line():
            line = {"width": mark.width, "dash": mark.dash, "color": colour}
            # Plotly marks the points of short curves unless told that they are lines.
            return trace | {"x": _narrow(mark.x), "y": _narrow(mark.y), "mode": "lines", "line": line}
        case Dots():
            look = {"size": mark.size, "color": colour, "line": {"width": mark.edge, "color": colour}}
            if mark.hollow is not None:
                look["symbol"] = ["circle-open" if hollow else "circle" for hollow in mark.hollow]
            return trace | {"x": _narrow(mark.x), "y": _narrow(mark.y), "mode": "markers", "marker": look}
        case Band():
            values = _narrow(np.array([mark.x, mark.low, mark.high]))
            x, low, high = values[:, np.isfinite(values).all(axis=0)]
            outline = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]])}
            look = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": colour}
            return trace | outline | look
    raise TypeError(mark)


def _text(label: str) -> str:
    """Text as plotly reads it: HTML."""
    return html.escape(label, quote=False).replace("\n", "<br>")


def _narrow(values: npt.ArrayLike) -> np.ndarray:
    """Values in four bytes each, to keep the page small, unless they are too large for it."""
    values = np.asarray(values, np.float64)
    return values if np.nanmax(np.abs(values), initial=0) >= 2**24 else values.astype(np.float32)


def _css(colour: Colour, opacity: float) -> str:
    return f"rgba({', '.join(map(str, colour))}, {opacity:g})"
