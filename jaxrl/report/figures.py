"""What a figure is: marks on two axes, as plain data that `interactive` and `static` draw alike."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

Values = Sequence[float] | np.ndarray | pd.Series
Colour = tuple[int, int, int]  # red, green and blue, in [0, 255]

# Okabe & Ito's palette, distinct for colour-blind eyes, its blue lighter for dark ground.
COLOURS: tuple[Colour, ...] = (
    *((24, 128, 196), (213, 94, 0), (0, 158, 115)),
    *((204, 121, 167), (230, 159, 0), (86, 180, 233)),
)
LETTERS = "ABCDEF"  # what the settings are called where there is no room for their names
NEUTRAL: Colour = (128, 136, 144)  # readable on either ground
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
    """What all marks have. Sizes are in pixels."""

    colour: Colour
    opacity: float = 1.0
    legend: str = ""  # its entry in the legend, which shows the first mark of each entry
    controls: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The choices on the page that show it: `setting`, places in a list, and the names `kind` and `layer`."""
    hover: str = ""  # the text under the mouse, in plotly's format, for the page alone
    customdata: np.ndarray | None = None  # one row for each point, for the hover text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line(Mark):
    """A line through points, broken where one of them is NaN."""

    x: Values
    y: Values
    width: float = 2
    dash: str = "solid"  # one of DASHES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dots(Mark):
    """A circle at each point."""

    x: Values
    y: Values
    size: float  # diameter
    edge: float = 0  # width of the outline
    hollow: Values | None = None  # those that are drawn as an outline; None: none


@dataclasses.dataclass(frozen=True, kw_only=True)
class Band(Mark):
    """The area between two lines, at the points where both are finite."""

    x: Values
    low: Values
    high: Values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule(Mark):
    """A line across the whole figure at one value of an axis."""

    axis: Literal["x", "y"]
    at: float
    width: float = 1.25
    dash: str = "dot"  # one of DASHES
    colour: Colour = NEUTRAL


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis. Without limits it spans the marks; without ticks the renderer chooses them."""

    label: str
    limits: tuple[float, float] | None = None
    log: bool = False
    ticks: Mapping[float, str] | None = None  # the label at each value
    rows: bool = False  # its ticks name rows, so it has no line and no grid


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """Everything that a reader sees of one figure. Marks that come later cover earlier ones."""

    name: str  # of its files, before the environment's name
    title: str
    caption: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    height: int = 360  # in pixels
    settings: Sequence[
        str
    ] = ()  # what the first COLOURS mean: in a file's legend, and in the page's controls
    legend_title: str = ""
    chosen: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """The choices of `kind` and `layer` that the page starts with. A file shows these alone."""

    @property
    def first_seen(self) -> list[Mark]:
        """The marks that the page starts with and that a file shows."""
        return [
            mark
            for mark in self.marks
            if all(mark.controls.get(control) in (None, *values) for control, values in self.chosen.items())
        ]
