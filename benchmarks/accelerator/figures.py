"""Figures of an accelerator's results."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.figures import GREY, PALETTE, _by_work, _line, _log, _panels, save

Row = dict[str, Any]


def save_all(results: dict[str, Any], out: Path) -> None:
    """Writes the figures of the training part, as far as it was measured."""
    rows = [row for row in results.get("training", {}).get("rows", []) if "failed" not in row]
    plain = [row for row in rows if "option" not in row]
    if plain:
        save(training, plain, out / "accelerator-training.png")
    if traced := [row for row in plain if "profile" in row]:
        save(profile, traced, out / "accelerator-profile.png")


def training(rows: list[Row]) -> Figure:
    """Steps per second and peak memory by lanes; a line for each workload."""
    figure, (speed, memory) = _panels(2, columns=2, height=4.0, width=4.4)
    for i, (name, of_work) in enumerate(_by_work(rows).items()):
        _line(speed, [(row["seeds"], row["steps_per_second"]) for row in of_work], i, name)
        _line(memory, [(row["seeds"], row["peak_bytes"]) for row in of_work], i, name)
    counts = [row["seeds"] for row in rows]
    _log(speed, "lanes", "training steps per second, all lanes", counts)
    _log(memory, "lanes", "peak memory of the device, bytes", counts)
    figure.legend(*speed.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def profile(rows: list[Row]) -> Figure:
    """The milliseconds of an iteration: the kernels that take most of them, all others, and no kernel."""
    figure, panels = _panels(len(rows), columns=1, height=2.6, width=7.5)
    for axes, row in zip(panels, rows, strict=False):
        trace = row["profile"]
        shown = [(kernel["name"][:40], kernel["milliseconds"]) for kernel in trace["kernels"][:10]]
        rest = max(0.0, trace["busy_milliseconds"] - sum(value for _, value in shown))
        idle = trace["milliseconds"] - trace["busy_milliseconds"]
        bars = [*shown, ("all other kernels", rest), ("no kernel", idle)]
        colours = [PALETTE[0]] * len(shown) + [GREY] * 2
        axes.barh(range(len(bars)), [value for _, value in bars], color=colours)
        axes.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize="x-small")
        axes.set_title(
            f"{row['work']}, {row['seeds']:,} lanes, {trace['launches']:,.0f} launches", loc="left"
        )
        axes.set_xlabel("milliseconds of an iteration")
        axes.invert_yaxis()
    return figure
