"""The figures with curves: along environment steps, scores, hyper-parameters or numbers of runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrl.report.curves import POINTS, SEEDS, STUDY_SEEDS, Curves
from jaxrl.report.figures import COLOURS, DASHES, Axis, Band, Colour, Dots, Figure, Line, Mark, Rule
from jaxrl.report.summary import Aggregate, Section
from jaxrl.text import counted, number, wrapped

FEW = 3  # settings, up to which single seeds and tolerance bands are shown from the start
TICKS = 6  # at most, of the values of a hyper-parameter on a log axis
LAYERS = {  # of learning curves, as the page calls them
    "pointwise": "95 % interval",
    "whole": "95 % band of the whole curve",
    "tolerance": "90 % tolerance band",
    "seeds": "single seeds",
}
SHARES = (0.0, 1.03)  # limits of an axis of shares

CURVES = (
    "Thick: the mean over the runs. Dark band: its 95 % interval at each step by itself. Dashed: a band that "
    "holds the whole mean curve with 95 % confidence. Light band: the 90 % tolerance interval of single "
    "runs, which takes 46 of them; it begins at the lowest value drawn where it would begin at a failed run. "
    f"Thin: single seeds, at most {SEEDS} in a figure and {STUDY_SEEDS} in a study, shared evenly by the "
    f"settings. Curves are down-sampled to at most {POINTS} points. Dotted: the return that counts as solved."
)
PROFILE = (
    "Share of runs that score above each value, with its 95 % interval at each value. Failed runs score "
    "above no value. A setting whose curve is nowhere below another's is at least as good at every level."
)
REACHED = (
    "Share of runs that have had an evaluation at or above the return that counts as solved, by steps "
    "(Kaplan and Meier's estimate), with its 95 % interval. A run that has not reached it when its curve "
    "ends is censored, not left out; a failed run never reaches it."
)
POWER = (
    "Chance that a comparison of two settings finds a difference of their means, by the runs of each, for "
    "several true differences. Lines: a two-sided t-test at the level 5 %, with the spread of the runs here. "
    "Dots: Welch's test of resampled runs, which need not be normal. Grey: the present number of runs. "
    "Dotted: 80 %, the usual target."
)


def learning_curves(section: Section) -> Figure:
    """Both kinds of curves of every setting: means, bands and single seeds."""
    marks: list[Mark] = []
    for kind, by_setting in section.curves.items():
        floor = floor_of([*by_setting.values()])
        settings = [
            _curve_marks(by_setting[setting], floor, COLOURS[place], {"setting": [place], "kind": kind})
            for place, setting in enumerate(section.shown)
        ]
        marks += _layered(settings)
    if section.threshold is not None:
        marks.append(Rule(axis="y", at=section.threshold))
    detail = ("tolerance", "seeds") if len(section.shown) <= FEW else ()
    return Figure(
        name="learning-curves",
        title="Learning curves",
        caption=CURVES,
        x=Axis("environment steps", (0, max(int(section.scores["steps"].max()), 1))),
        y=Axis("return"),
        height=420,
        marks=marks,
        settings=[section.names[setting] for setting in section.shown],
        chosen={"kind": [*section.curves][:1], "layer": ("pointwise", *detail)},
    )


def profile(shown: Section | Aggregate) -> Figure:
    """The performance profile with its bands."""
    values = shown.profile["tau"]
    return Figure(
        name="performance-profile",
        title="Performance profile",
        caption=PROFILE,
        x=Axis("final score", (values.min(), values.max())),
        y=Axis("share of runs above it", SHARES),
        marks=_share_marks(shown, shown.profile, "tau", "%{y:.0%} of runs above %{x:.4g}"),
        settings=[shown.names[setting] for setting in shown.shown],
    )


def reached(section: Section) -> Figure:
    """The share of runs that have reached the threshold by each step, with its interval."""
    return Figure(
        name="time-to-threshold",
        title="Time to solve",
        caption=REACHED,
        x=Axis("environment steps", (0, max(1.02 * section.reached["step"].max(), 1))),
        y=Axis("share of runs that have reached it", SHARES),
        marks=_share_marks(section, section.reached, "step", "%{y:.0%} of runs by %{x:,}"),
        settings=[section.names[setting] for setting in section.shown],
    )


def sensitivity(section: Section, algorithm: str, parameter: str) -> Figure:
    """Mean and best score along one hyper-parameter."""
    table = section.sensitivity
    rows = table[(table["algorithm"] == algorithm) & (table["parameter"] == parameter)].sort_values("value")
    x, axis = _values_axis(parameter, rows["value"])
    # The best of single settings are the settings themselves.
    columns = ["mean"] if (rows["settings"] == 1).all() else ["mean", "best"]
    about = rows[["settings", "failed", "value"]].astype(str).to_numpy()
    marks: list[Mark] = []
    for column, dash in zip(columns, DASHES, strict=False):
        counts = "settings: %{customdata[0]}, failed runs: %{customdata[1]}"
        legend = column if len(columns) > 1 else ""
        look: dict[str, Any] = {"x": x, "y": rows[column], "colour": COLOURS[0], "legend": legend}
        marks += [
            Line(dash=dash, **look),
            Dots(
                size=8,
                edge=1.5,
                hollow=rows["failed"] > 0,
                hover=f"{column} %{{y:.4g}} at %{{customdata[2]}}\n{counts}",
                customdata=about,
                **look,
            ),
        ]
    return Figure(
        name=f"sensitivity-{algorithm}-{parameter}",
        title=f"Sensitivity of {algorithm} to {parameter}",
        caption=sensitivity_caption(rows),
        x=axis,
        y=Axis("mean final score"),
        marks=marks,
    )


def power(section: Section) -> Figure:
    """Power by the runs of each setting, a curve for each true difference."""
    most = section.power["runs"].max()
    places = [digit * 10**zeros for zeros in range(7) for digit in (1, 2, 5)]
    ticks = {float(place): f"{place:,}" for place in places if 1 < place <= most}
    marks: list[Mark] = [
        Rule(axis="y", at=0.8),
        Rule(axis="x", at=int(section.description["runs"].max()), width=2, dash="solid", opacity=0.6),
    ]
    for place, (effect, rows) in enumerate(section.power.groupby("effect")):
        resampled = rows.dropna(subset="resampled")
        look: dict[str, Any] = {
            "colour": COLOURS[place % len(COLOURS)],
            "legend": f"{number(rows['difference'].iloc[0])} ({effect:.3g} sd)",
            "hover": "%{x} runs of each: %{y:.0%}",
        }
        dash = DASHES[place % len(DASHES)]
        marks += [
            Line(x=rows["runs"], y=rows["power"], dash=dash, **look),
            Dots(x=resampled["runs"], y=resampled["resampled"], size=7, **look),
        ]
    return Figure(
        name="power",
        title="Power of a comparison",
        caption=POWER,
        x=Axis("runs of each setting", log=True, ticks=ticks),
        y=Axis("power", SHARES),
        height=400,
        marks=marks,
        legend_title="true difference",
    )


def sensitivity_caption(rows: pd.DataFrame) -> str:
    """What a sensitivity curve shows, and how much of the settings' variance it explains."""
    failed = " Hollow: some runs with that value failed, and the mean is of the others; no point: all failed."
    failed = failed if rows["failed"].any() else ""
    if (rows["settings"] == 1).all():
        return f"The mean score of the setting with each value.{failed}"
    caption = f"Solid: the mean score of the settings with a value. Dashed: that of the best of them.{failed}"
    settings, share = int(rows["settings"].sum()), rows["share"].iloc[0]
    if np.isnan(share):
        return caption
    which = counted(settings, "setting")
    return f"{caption} The value explains {share:.0%} of the variance among the means of {which}."


def ticks_of(values: np.ndarray) -> list[float]:
    """The values of a log axis, in increasing order, that have room for a label, from the first one on."""
    places = np.log(values)
    room = (places[-1] - places[0]) / (TICKS - 1) - 1e-9
    kept = [0]
    for place in range(1, len(values)):
        if places[place] - places[kept[-1]] >= room:
            kept.append(place)
    return [float(value) for value in values[kept]]


def floor_of(curves: Sequence[Curves]) -> float:
    """The lowest finite value of curves that are drawn together."""
    tables = [table.to_numpy(float) for each in curves for table in (each.bands["mean"], each.single)]
    values = np.concatenate([table.ravel() for table in tables])
    return float(values[np.isfinite(values)].min())


def _curve_marks(curves: Curves, floor: float, colour: Colour, controls: dict[str, Any]) -> list[Mark]:
    """Single seeds, bands and mean of one setting, from back to front."""
    bands, single = curves.bands, curves.single
    steps = bands["step"].to_numpy(float)

    def look(layer: str, opacity: float = 1.0) -> dict[str, Any]:
        return {"colour": colour, "opacity": opacity, "controls": controls | {"layer": layer}}

    def band(name: str, opacity: float, least: float = -np.inf) -> Band:
        low, high = bands[f"{name}_low"].clip(lower=least), bands[f"{name}_high"]
        return Band(x=steps, low=low, high=high, **look(name, opacity))

    seeds = Line(
        **_joined(steps, single),
        width=0.8,
        hover="seed %{customdata}: %{y:.4g} at %{x:,}",
        customdata=np.repeat(single.index.to_numpy(), len(steps) + 1),
        **look("seeds", 0.3),
    )
    whole = Line(
        **_joined(steps, bands[["whole_low", "whole_high"]].T), width=1, dash="dash", **look("whole")
    )
    hover = "mean %{y:.4g} at %{x:,}"
    mean = Line(x=steps, y=bands["mean"], width=3, hover=hover, colour=colour, controls=controls)
    return [seeds, band("tolerance", 0.12, floor), whole, band("pointwise", 0.25), mean]


def _joined(x: np.ndarray, rows: pd.DataFrame) -> dict[str, Any]:
    """The points of one line through each row of a table in turn, broken between them."""
    gap = np.full((len(rows), 1), np.nan)
    return {"x": np.tile(np.append(x, np.nan), len(rows)), "y": np.hstack([rows, gap]).ravel()}


def _share_marks(shown: Section | Aggregate, table: pd.DataFrame, x: str, hover: str) -> list[Mark]:
    """The column share of a table along x, with its band, in steps: each value holds until the next x."""
    settings: list[list[Mark]] = []
    for place, setting in enumerate(shown.shown):
        rows = table[table["setting"] == setting]
        along = rows[x].to_numpy(float).repeat(2)[1:]
        share, low, high = (rows[f"share{end}"].to_numpy().repeat(2)[:-1] for end in ("", "_low", "_high"))
        look: dict[str, Any] = {"x": along, "colour": COLOURS[place], "controls": {"setting": [place]}}
        band = Band(low=low, high=high, opacity=0.2, **look)
        settings.append([band, Line(y=share, width=2.5, hover=hover, **look)])
    return _layered(settings)


def _layered(settings: Sequence[Sequence[Mark]]) -> list[Mark]:
    """The marks of several settings in layers, so that no setting's band covers another's line."""
    return [mark for layer in zip(*settings, strict=True) for mark in layer]


def _values_axis(parameter: str, values: pd.Series) -> tuple[np.ndarray, Axis]:
    """Where the values of a hyper-parameter lie on an axis of theirs, in increasing order."""
    if any(isinstance(v, bool | np.bool_) or not isinstance(v, int | float | np.number) for v in values):
        labels = [wrapped(str(value), "\n", width=16) for value in values]
        places = np.arange(len(labels), dtype=float)
        return places, Axis(parameter, ticks=dict(zip(places.tolist(), labels, strict=True)))
    numbers = values.to_numpy(float)
    if numbers[0] > 0 and numbers[-1] >= 10 * numbers[0]:
        return numbers, Axis(parameter, log=True, ticks={tick: f"{tick:g}" for tick in ticks_of(numbers)})
    return numbers, Axis(parameter)
