"""Figures of a report: interactive curves and sparklines."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from jaxrl.report.summary import Curves, Setting

SEEDS_SHOWN = 64  # single runs behind each mean; more would only darken the picture
GREY = "rgba(128, 128, 128, 0.35)"
# Okabe & Ito's palette, distinct for colour-blind eyes, its blue lighter for dark ground; red, green, blue.
COLOURS = (
    "0, 114, 178",
    "213, 94, 0",
    "0, 158, 115",
    "204, 121, 167",
    "230, 159, 0",
    "86, 180, 233",
)


def learning_curves(settings: Sequence[Setting], metric: str, title: str) -> str:
    """HTML of one figure: mean, interval and single seeds of every setting.

    metric is "evaluation" or "training", a field of Setting.
    """
    figure = go.Figure()
    for index, setting in enumerate(settings):
        colour = COLOURS[index % len(COLOURS)]
        curves: Curves = getattr(setting, metric)
        for draw in (_seeds, _band, _mean):
            figure.add_trace(draw(curves, colour, setting.label))
    figure.update_layout(
        title={"text": title, "font": {"size": 15}},
        height=360 + 22 * max(len(settings) - 1, 0),
        margin={"l": 56, "r": 12, "t": 40, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#808890"},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
        showlegend=len(settings) > 1,
        xaxis={
            "title": "environment steps",
            "range": [0, max(setting.steps for setting in settings)],
            "gridcolor": GREY,
            "zerolinecolor": GREY,
        },
        yaxis={"title": "return", "gridcolor": GREY, "zerolinecolor": GREY},
    )
    return figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        config={"displaylogo": False, "responsive": True, "displayModeBar": False},
    )


def sparkline(curve: np.ndarray, width: int = 120, height: int = 28) -> str:
    """A curve [points] as a small SVG line, NaN left out."""
    known = curve[~np.isnan(curve)]
    if known.size < 2:
        return ""
    x = np.linspace(2, width - 2, known.size)
    span = max(known.max() - known.min(), 1e-9)
    y = height - 3 - (known - known.min()) / span * (height - 6)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        f'<svg class="spark" width="{width}" height="{height}" role="img" '
        f'aria-label="from {known[0]:.3g} to {known[-1]:.3g}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.8"/></svg>'
    )


def _seeds(curves: Curves, colour: str, label: str) -> go.Scatter:
    """Thin lines of single runs, all in one trace with gaps between them."""
    shown = curves.values[:SEEDS_SHOWN]
    gap = np.full((len(shown), 1), np.nan)
    x = np.tile(np.append(curves.steps.astype(float), np.nan), len(shown))
    seeds = np.repeat(curves.seeds[: len(shown)], len(curves.steps) + 1)
    return go.Scatter(
        x=x,
        y=np.hstack([shown, gap]).ravel(),
        text=[f"seed {seed}" for seed in seeds],
        mode="lines",
        line={"width": 0.8, "color": f"rgba({colour}, 0.2)"},
        legendgroup=label,
        showlegend=False,
        hovertemplate="%{text}: %{y:.4g} at %{x:,}<extra></extra>",
    )


def _band(curves: Curves, colour: str, label: str) -> go.Scatter:
    """The interval of the mean as a filled outline."""
    return go.Scatter(
        x=np.concatenate([curves.steps, curves.steps[::-1]]),
        y=np.concatenate([curves.high, curves.low[::-1]]),
        mode="lines",  # else plotly marks the points of short curves
        fill="toself",
        fillcolor=f"rgba({colour}, 0.3)",
        line={"width": 0},
        hoverinfo="skip",
        legendgroup=label,
        showlegend=False,
    )


def _mean(curves: Curves, colour: str, label: str) -> go.Scatter:
    """The mean over the runs."""
    return go.Scatter(
        x=curves.steps,
        y=curves.mean,
        name=label,
        mode="lines",
        line={"width": 3, "color": f"rgb({colour})"},
        legendgroup=label,
        hovertemplate="mean %{y:.4g} at %{x:,}<extra></extra>",
    )
