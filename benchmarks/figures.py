"""A figure for each benchmark."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, LogLocator, NullLocator

from benchmarks.compilation import PARTS, medians
from benchmarks.seeds import SOLVE
from benchmarks.solve import SHARE
from benchmarks.studies import shares
from benchmarks.tabular import contender
from jaxrl.random.generators import GENERATORS
from jaxrl.report.figures import COLOURS, NEUTRAL
from jaxrl.report.static import STYLE
from jaxrl.statistics import share_interval
from jaxrl.text import counted, number

Row = dict[str, Any]

PALETTE = [tuple(part / 255 for part in colour) for colour in COLOURS]
GREY = tuple(part / 255 for part in NEUTRAL)
MARKERS = "osD^vP"
RATE = EngFormatter(sep=" ")
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g} %")


def save(draw: Callable[[list[Row]], Figure], rows: list[Row], file: Path) -> None:
    """Draws rows and writes them as PNG."""
    with mpl.rc_context(STYLE):
        FigureCanvasAgg(draw(rows)).print_png(file)


def environments(rows: list[Row]) -> Figure:
    """Steps per second by copies, a panel for each environment and a line for each contender."""
    names = list(dict.fromkeys(row["environment"] for row in rows))
    figure, panels = _panels(len(names), columns=min(len(names), 5), height=2.4, width=2.6)
    labels = {generator: f"jaxrl, {generator}" for generator in GENERATORS}
    labels |= {"gymnax": "gymnax", "gymnasium": "Gymnasium"}
    for axes, name in zip(panels, names, strict=False):
        for i, (side, label) in enumerate(labels.items()):
            points = [
                (row["copies"], row["steps_per_second"][side])
                for row in rows
                if row["environment"] == name and side in row["steps_per_second"]
            ]
            _line(axes, points, i, label)
        _log(axes, "copies", "", [row["copies"] for row in rows])
        axes.set_title(name, loc="left")
    figure.supylabel("steps per second, random policy", fontsize="medium")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def training(rows: list[Row]) -> Figure:
    """Steps per second, share of a product's rate and peak memory by seeds; a line for each workload."""
    figure, (speed, share, memory) = _panels(3, columns=3, height=3.8, width=3.8)
    for i, (work, of_work) in enumerate(_by_work(rows).items()):
        counts = [row["seeds"] for row in of_work]
        rates, peaks, shares = (
            [row[name] for row in of_work] for name in ("steps_per_second", "peak_bytes", "share_of_product")
        )
        _line(speed, zip(counts, rates, strict=True), i, work)
        _line(memory, zip(counts, (peak / 1e9 for peak in peaks), strict=True), i, work)
        if any(shares):
            _line(share, zip(counts, shares, strict=True), i, work)
    counts = [row["seeds"] for row in rows]
    _log(speed, "seeds", "training steps per second, all seeds", counts)
    _log(share, "seeds", "share of a large matrix product's rate", counts, PERCENT)
    _log(memory, "seeds", "peak memory of the process, GB", counts)
    _linear(memory)
    figure.legend(*speed.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def seeds(rows: list[Row]) -> Figure:
    """Time of a step and memory by seeds, and the share of seeds that has solved CartPole by time."""
    figure, (cost, memory, solved) = _panels(3, columns=3, height=3.8, width=3.8)
    costs = [row for row in rows if row["work"] != SOLVE]
    for i, (work, of_work) in enumerate(_by_work(costs).items()):
        _line(cost, [(row["seeds"], row["microseconds"]) for row in of_work], i, work)
        _line(memory, [(row["seeds"], row["resident_bytes"] / 1e9) for row in of_work], i, work)
    counts = [row["seeds"] for row in costs]
    _log(cost, "seeds", "wall-clock µs per environment step", counts, PLAIN)
    _log(memory, "seeds", "resident memory of the process, GB", counts)
    _linear(memory)
    cost.legend(loc="center right")
    for i, row in enumerate(row for row in rows if row["work"] == SOLVE):
        for j, process in enumerate(process["curve"] for process in row["processes"]):
            label = counted(row["seeds"], "seed") if j == 0 else None
            points = [(0.0, 0.0), *((point["seconds"], point["share"]) for point in process)]
            solved.plot(*zip(*points, strict=True), color=PALETTE[i], marker=".", alpha=0.8, label=label)
    solved.axhline(SHARE, color=GREY, linestyle=":")
    solved.set(xlabel="seconds without compilation", ylabel="seeds that solve CartPole", ylim=(0, 1.03))
    solved.yaxis.set_major_formatter(PERCENT)
    solved.legend(loc="lower right")
    return figure


def tabular(rows: list[Row]) -> Figure:
    """Steps per second of each contender."""
    figure, (axes,) = _panels(1, columns=1, height=2.0, width=6.4)
    rates = rows[0]["steps_per_second"]
    for i, (name, rate) in enumerate(rates.items()):
        axes.plot(rate, i, "o", color=GREY if name == "numpy" else PALETTE[0])
        ratio = f", {rate / rates['numpy']:,.3g} x" if name != "numpy" else ""
        axes.annotate(number(rate) + ratio, (rate, i), (8, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rates)), [contender(name) for name in rates])
    axes.set(xscale="log", xlabel="steps per second of all seeds")
    axes.set_title(rows[0]["work"], loc="left")
    axes.set_xlim(min(rates.values()) / 2, 8 * max(rates.values()))
    axes.margins(y=0.25)
    axes.invert_yaxis()
    return figure


def compilation(rows: list[Row]) -> Figure:
    """Seconds of each part with an empty and with a full cache, for each workload."""
    figure, (axes,) = _panels(1, columns=1, height=0.9 + 0.55 * len(rows), width=7.0)
    for i, row in enumerate(rows):
        for state, place, alpha in (("cold", i - 0.2, 1.0), ("cached", i + 0.2, 0.55)):
            left = 0.0
            for j, (part, seconds) in enumerate(medians(row, state).items()):
                label = part if i == 0 and state == "cold" else None
                axes.barh(place, seconds, 0.36, left, color=PALETTE[j], alpha=alpha, label=label)
                left += seconds
            cache = "empty cache" if state == "cold" else "full cache"
            axes.text(left, place, f" {left:.1f} s, {cache}", va="center", fontsize="small")
    names = [f"{row['work']}\n{counted(row['devices'], 'device')}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set(xlabel=f"seconds to compile, {rows[0]['seeds']} seeds")
    axes.margins(x=0.3)
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=len(PARTS))
    return figure


def studies(rows: list[Row]) -> Figure:
    """The share of wall-clock time that each part of a study takes, for each study."""
    figure, (axes,) = _panels(1, columns=1, height=0.9 + 0.4 * len(rows), width=7.0)
    for i, row in enumerate(rows):
        left = 0.0
        for j, (part, share) in enumerate(shares(row).items()):
            axes.barh(i, share, 0.6, left, color=PALETTE[j], label=part if i == 0 else None)
            left += share
        axes.text(1.01, i, f"{row['seconds']:.0f} s", va="center", fontsize="small")
    axes.set_yticks(range(len(rows)), [f"{row['work']}\n{counted(row['seeds'], 'seed')}" for row in rows])
    axes.set(xlim=(0, 1), xlabel="share of the time of a whole study")
    axes.xaxis.set_major_formatter(PERCENT)
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def peers(rows: list[Row]) -> Figure:
    """Our steps per second divided by each peer's, with intervals; our own rates if no peer was run."""
    figure, (axes,) = _panels(1, columns=1, height=0.9 + 0.4 * len(rows), width=7.0)
    compared = all("ratio" in row for row in rows)
    for i, row in enumerate(rows):
        value, low, high = row["ratio"] if compared else [row["steps_per_second"]["jaxrl"]] * 3
        axes.errorbar(value, i, xerr=[[value - low], [high - value]], fmt="o", color=PALETTE[0], capsize=3)
        text = f"{value:.3g} x" if compared else number(value)
        axes.annotate(text, (value, i), (0, 6), textcoords="offset points", ha="center", fontsize="small")
    names = [f"{row['work']}, {counted(row['seeds'], 'seed')}" for row in rows]
    names = [f"{name}\n{[*row['steps_per_second']][-1]}" for name, row in zip(names, rows, strict=True)]
    axes.set_yticks(range(len(rows)), names)
    axes.set(xscale="log", xlabel="jaxrl's steps per second" + (" / the peer's" if compared else ""))
    if compared:
        axes.axvline(1, color=GREY, linestyle=":")
    axes.xaxis.set_major_formatter(PLAIN if compared else RATE)
    axes.margins(y=0.15)
    axes.invert_yaxis()
    return figure


def kills(rows: list[Row]) -> Figure:
    """The share of killed and resumed studies that end with the same bits, with its interval."""
    figure, (axes,) = _panels(1, columns=1, height=0.9 + 0.4 * len(rows), width=6.4)
    for i, row in enumerate(rows):
        share = share_interval(row["equal"], row["kills"])
        axes.plot([share.low, share.high], [i, i], color=PALETTE[0], linewidth=2)
        axes.plot(share.estimate, i, "o", color=PALETTE[0], clip_on=False)
    axes.set_yticks(range(len(rows)), [f"{row['work']}\n{row['kills']} kills" for row in rows])
    axes.set(xlim=(0, 1), xlabel="equal to the bit after kill -9 and resume, with 95 % interval")
    axes.xaxis.set_major_formatter(PERCENT)
    axes.margins(y=0.3)
    axes.invert_yaxis()
    return figure


def randomness(rows: list[Row]) -> Figure:
    """Every generator's sorted p-values, against those expected of random bits."""
    figure, (axes,) = _panels(1, columns=1, height=4.0, width=6.4)
    generators = dict.fromkeys(row["generator"] for row in rows)
    for i, generator in enumerate(generators):
        own = [row for row in rows if row["generator"] == generator]
        p = sorted(each["p"] for row in own for each in row.get("results", [row]))
        expected = (np.arange(len(p)) + 0.5) / len(p)
        axes.plot(expected, np.maximum(p, 1e-16), ".", color=PALETTE[i], label=f"{generator}, {len(p)} tests")
    axes.plot([1e-3, 1], [1e-3, 1], color=GREY, linestyle=":", label="random bits")
    axes.set(xscale="log", yscale="log", xlabel="expected p-value of that rank", ylabel="p-value")
    axes.legend(loc="center left")
    return figure


def reporting(rows: list[Row]) -> Figure:
    """Seconds of each workload."""
    figure, (axes,) = _panels(1, columns=1, height=0.9 + 0.4 * len(rows), width=7.0)
    for i, row in enumerate(rows):
        median = float(np.median(row["seconds"]))
        axes.plot(row["seconds"], [i] * len(row["seconds"]), "o", color=PALETTE[0], alpha=0.5)
        axes.annotate(f"{median:.3g} s", (median, i), (0, 6), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(rows)), [f"{row['work']}, {counted(row['runs'], 'run')}" for row in rows])
    axes.set(xscale="log", xlabel="seconds")
    axes.xaxis.set_major_formatter(PLAIN)
    axes.margins(y=0.3)
    axes.invert_yaxis()
    return figure


def _panels(count: int, columns: int, height: float, width: float) -> tuple[Figure, list[Axes]]:
    """A figure with this many panels of this size in inches."""
    lines = -(-count // columns)
    figure = Figure(figsize=(max(columns * width, 6.4), lines * height + 0.4), layout="constrained")
    panels = list(np.ravel(figure.subplots(lines, columns, squeeze=False)))
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels


def _line(axes: Axes, points: Any, place: int, label: str) -> None:
    """Points joined by a line, in the colour and with the marker of this place."""
    xs, ys = zip(*points, strict=True) if (points := list(points)) else ((), ())
    axes.plot(xs, ys, color=PALETTE[place], marker=MARKERS[place], markersize=4, label=label)


def _log(axes: Axes, x: str, y: str, ticks: Sequence[int], shown: Formatter = RATE) -> None:
    """Logarithmic axes with a tick at each size that was measured."""
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    axes.set_xticks(sorted({*ticks}), [f"{tick:,}" for tick in sorted({*ticks})], fontsize="small")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_major_formatter(shown)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", alpha=0.3)


def _linear(axes: Axes) -> None:
    """A linear vertical axis from zero, for values that do not span powers of ten."""
    axes.set_yscale("linear")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PLAIN)


def _by_work(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each workload, in order."""
    names = dict.fromkeys(row["work"] for row in rows)
    return {name: [row for row in rows if row["work"] == name] for name in names}
