"""Draws figures as files, with matplotlib."""

from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from jaxrl.report.figures import COLOURS, DASHES, Axis, Band, Colour, Dots, Figure, Line, Mark, Rule
from jaxrl.store.files import appearing_whole
from jaxrl.text import wrapped

WIDTH = 6.4  # inches
PIXEL = 0.01  # inches of a figure's height for each pixel on the page
POINT = 0.8  # points of a line's width or a dot's diameter for each pixel
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "legend.fontsize": "small",
    "legend.frameon": False,
    "figure.dpi": 150,
    "svg.hashsalt": "jaxrl",  # else random
}
LINES: dict[str, Any] = dict(zip(DASHES, ("-", "--", ":", "-."), strict=True))


def save(figure: Figure, environment: str, folder: Path, name: str) -> None:
    """Draws one figure and writes it as SVG, PDF and PNG."""
    svg, pdf, png = (folder / f"{name}.{suffix}" for suffix in ("svg", "pdf", "png"))
    with mpl.rc_context(STYLE):
        canvas = draw(figure, f"{figure.title}, {environment}"[:90])
        layout = canvas.get_layout_engine()
        assert layout is not None
        layout.execute(canvas)
        canvas.set_layout_engine("none")  # laid out once, for all formats
        # Not by savefig, which draws each twice. Without dates, the same report gives the same bytes.
        with appearing_whole(png) as file:  # first, since the others change the resolution
            FigureCanvasAgg(canvas).print_png(file)
        with appearing_whole(svg) as file:
            FigureCanvasSVG(canvas).print_svg(file, metadata={"Date": None})
        with appearing_whole(pdf) as file:
            FigureCanvasPdf(canvas).print_pdf(file, metadata={"CreationDate": None})


def draw(figure: Figure, title: str) -> Canvas:
    """The figure under a title, with a legend below it."""
    canvas = Canvas(figsize=(WIDTH, 0.3 + PIXEL * figure.height), layout="constrained")
    axes = canvas.subplots()
    for mark in figure.first_seen:
        _add(axes, mark)
    _set_axis(axes, "x", figure.x)
    _set_axis(axes, "y", figure.y)
    axes.set_title(_text(title), loc="left", y=1)
    _add_legend(canvas, figure)
    return canvas


def _add(axes: Axes, mark: Mark) -> None:
    look: dict[str, Any] = {"alpha": mark.opacity, "zorder": 2}  # the same, so that the order of marks holds
    colour = _rgb(mark.colour)
    match mark:
        case Line() | Rule():
            look |= {"color": colour, "linewidth": POINT * mark.width, "linestyle": LINES[mark.dash]}
            if isinstance(mark, Line):
                axes.plot(mark.x, mark.y, solid_capstyle="butt", **look)
            else:
                (axes.axvline if mark.axis == "x" else axes.axhline)(mark.at, **look)
        case Dots():
            hollow = np.zeros(len(mark.x), bool) if mark.hollow is None else mark.hollow
            faces = ["white" if each else colour for each in hollow]
            look |= {"s": (POINT * mark.size) ** 2, "linewidths": POINT * mark.edge}
            axes.scatter(mark.x, mark.y, facecolors=faces, edgecolors=[colour], **look)
        case Band():
            axes.fill_between(mark.x, mark.low, mark.high, facecolor=colour, linewidth=0, **look)


def _set_axis(axes: Axes, name: Literal["x", "y"], described: Axis) -> None:
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_label_text(_text(described.label))
    if described.log:
        axes.set(**{f"{name}scale": "log"})
        axis.set_minor_locator(mpl.ticker.NullLocator())
    if described.ticks is not None:
        axis.set_ticks([*described.ticks], [_text(label) for label in described.ticks.values()])
    if described.limits is not None:
        axes.set(**{f"{name}lim": described.limits})
    if described.rows:
        axes.spines["left" if name == "y" else "bottom"].set_visible(False)
        axis.set_tick_params(length=0)


def _add_legend(canvas: Canvas, figure: Figure) -> None:
    """Names the settings by their colours, or the lines that have an entry, below the figure."""
    looks = {mark.legend: mark for mark in figure.marks if isinstance(mark, Line) and mark.legend}
    lines = [(_rgb(mark.colour), LINES[mark.dash]) for mark in looks.values()]
    lines = lines or [(_rgb(colour), "-") for colour in COLOURS[: len(figure.settings)]]
    if len(lines) < 2:
        return
    labels = [wrapped(_text(label), "\n", width=60) for label in looks or figure.settings]
    columns = 2 if max(map(len, labels)) < 36 else 1
    handles = [Line2D([], [], color=colour, linestyle=dash, linewidth=2) for colour, dash in lines]
    rows = len(labels) / columns + bool(figure.legend_title)
    canvas.set_figheight(canvas.get_figheight() + 0.2 * rows)
    title = figure.legend_title or None
    canvas.legend(handles, labels, loc="outside lower left", ncols=columns, title=title, alignment="left")


def _text(label: str) -> str:
    """Text as matplotlib reads it, which takes what stands between two dollar signs for mathematics."""
    return label.replace("$", r"\$")


def _rgb(colour: Colour) -> tuple[float, float, float]:
    return colour[0] / 255, colour[1] / 255, colour[2] / 255
