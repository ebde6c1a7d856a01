"""The figures with rows: one for each setting, or for each pair of settings, the first on top."""

from typing import Any

import numpy as np
import pandas as pd

from jaxrl.report.curves import evenly
from jaxrl.report.figures import COLOURS, LETTERS, Axis, Dots, Figure, Line, Mark, Rule
from jaxrl.report.summary import Aggregate, Row, Section
from jaxrl.text import bounds, number, wrapped

DOTS = 200  # final scores drawn of one setting, at evenly spaced ranks
WIDTH = 24  # characters in a line of a row's label
GOLDEN = 0.618034  # its multiples modulo 1 are spread evenly over [0, 1), without a visible pattern

SCORES = (
    "A dot is a run. Its height in the row has no meaning; it only keeps the dots apart. At most "
    f"{DOTS} runs of a setting are drawn, evenly spaced by rank. Upright: the median, with failed runs "
    "counted as the lowest. Line through the dots: the 90 % tolerance interval, which takes 46 runs."
)
INTERVALS = (
    "Thick: the mean's 95 % interval, which narrows with more runs. Thin: the 90 % tolerance interval, which "
    "holds nine in ten single runs and does not narrow."
)
IMPROVEMENT = (
    "Probability that a run of the first setting scores higher than a run of the second, with its 95 % "
    "interval. Ties count half. Filled: the comparison is decided; hollow: it is undecided."
)
AGGREGATES = {
    "mean": ("mean", "Each environment has the same weight."),
    "median": ("median", "The median of the environments' means."),
    "iqm": (
        "interquartile mean",
        "The mean of all runs together, without the lowest and the highest quarter.",
    ),
    "optimality_gap": (
        "optimality gap",
        "Mean shortfall from 1, the return that counts as solved: less is better.",
    ),
}


def final_scores(section: Section) -> Figure:
    """A row a setting: its runs, their median and tolerance interval."""
    marks = _threshold(section)
    for place, setting in enumerate(section.shown):
        row, look = section.of(setting), _look(place)
        runs = dots(section.scores[section.scores["setting"] == setting])
        marks += [
            Dots(
                x=runs["score"],
                y=0.6 * runs["shift"] - place,
                size=6,
                opacity=0.45,
                hover="seed %{customdata}: %{x:.4g}",
                customdata=runs["seed"].to_numpy(),
                **look,
            ),
            *_tolerance(section, row, place),
        ]
        if np.isfinite(row["median"]):
            ends = [-place - 0.38, -place + 0.38]
            marks.append(Line(x=[row["median"]] * 2, y=ends, width=3, hover="median %{x:.4g}", **look))
    return Figure(
        name="final-scores",
        title="Final scores",
        caption=SCORES,
        x=Axis("final score", score_range(section)),
        marks=marks,
        **_rows(row_labels(section)),
    )


def intervals(section: Section) -> Figure:
    """A row a setting: the mean with its interval, and the tolerance interval."""
    marks = _threshold(section)
    for place, setting in enumerate(section.shown):
        row = section.of(setting)
        marks += [*_tolerance(section, row, place), *_estimate(row, "mean", place, _look(place))]
    return Figure(
        name="intervals",
        title="Means and their intervals",
        caption=INTERVALS,
        x=Axis("final score", score_range(section)),
        marks=marks,
        **_rows(row_labels(section)),
    )


def aggregate(overall: Aggregate, statistic: str) -> Figure:
    """A row a setting: one number over all environments, a key of AGGREGATES, with its interval."""
    title, caption = AGGREGATES[statistic]
    return Figure(
        name=f"aggregate-{statistic}",
        title=title[0].upper() + title[1:],
        caption=caption,
        x=Axis(f"{title} of normalised scores"),
        marks=[
            mark
            for place, setting in enumerate(overall.shown)
            for mark in _estimate(overall.of(setting), statistic, place, _look(place))
        ],
        **_rows(row_labels(overall)),
    )


def improvement(section: Section) -> Figure:
    """A row a pair of settings: the probability of improvement with its interval."""
    marks: list[Mark] = [Rule(axis="x", at=0.5)]
    labels, letters = [], dict(zip(section.shown, LETTERS, strict=False))
    for place, pair in enumerate(section.comparisons.to_dict("records")):
        first, second = (section.shown.index(pair[side]) for side in "ab")
        names = f"{section.names[pair['a']]}\n> {section.names[pair['b']]}:\n"
        look = {"colour": COLOURS[first], "controls": {"setting": [first, second]}}
        marks += _estimate(pair, "improvement", place, look, pair["verdict"] == "undecided", names)
        labels.append(f"{letters[pair['a']]} > {letters[pair['b']]}")
    return Figure(
        name="improvement",
        title="Probability of improvement",
        caption=IMPROVEMENT,
        x=Axis("probability of improvement", (-0.03, 1.03)),
        marks=marks,
        settings=[f"{letter}  {section.names[setting]}" for setting, letter in letters.items()],
        **_rows(labels, height=32),
    )


def row_labels(shown: Section | Aggregate) -> list[str]:
    """The settings drawn, each with the number of its failed runs, if any."""
    labels = []
    for setting in shown.shown:
        row = shown.of(setting)
        of_all = "all" if row["failed"] == row["runs"] else f"{row['failed']} of"
        failed = f"\n{of_all} {row['runs']} failed" if row["failed"] else ""
        labels.append(wrapped(shown.names[setting], "\n", WIDTH) + failed)
    return labels


def score_range(section: Section) -> tuple[float, float]:
    """The ends of an axis for the final scores shown, with room around them; finite scores are needed."""
    scores = section.scores.loc[section.scores["setting"].isin(section.shown), "score"]
    ends = [scores.min(), scores.max(), *([] if section.threshold is None else [section.threshold])]
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low)
    if margin < 1e-3 * max(abs(low), abs(high), 1e-3):  # all scores the same, or nearly so
        margin = 0.1 * max(abs(low), abs(high), 0.1)
    return low - margin, high + margin


def dots(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of one setting that are drawn as dots, with a `shift` in [-0.5, 0.5) that keeps them apart."""
    ranked = runs.dropna(subset="score").sort_values("score")
    drawn = ranked.iloc[evenly(len(ranked), DOTS)]
    return drawn.assign(shift=np.arange(len(drawn)) * GOLDEN % 1 - 0.5)


def _rows(labels: list[str], height: int = 46) -> dict[str, Any]:
    """The vertical axis and the figure's height, for rows that are at least so many pixels high."""
    lines = max(label.count("\n") + 1 for label in labels)
    ticks = {-float(place): label for place, label in enumerate(labels)}
    return {
        "y": Axis("", (0.5 - len(labels), 0.5), ticks=ticks, rows=True),
        "height": 80 + len(labels) * max(height, 17 * lines + 6),
    }


def _look(place: int) -> dict[str, Any]:
    """What the marks of one setting have in common."""
    return {"colour": COLOURS[place], "controls": {"setting": [place]}}


def _threshold(section: Section) -> list[Mark]:
    """A rule at the return that counts as solved, if there is one."""
    return [] if section.threshold is None else [Rule(axis="x", at=section.threshold)]


def _tolerance(section: Section, row: Row, place: int) -> list[Mark]:
    """The tolerance interval, if there is one, from the lowest score on where it begins at a failed run."""
    if not np.isfinite(row["tolerance_high"]):
        return []
    low, high = max(row["tolerance_low"], section.scores["score"].min()), row["tolerance_high"]
    hover = f"nine in ten runs {bounds(row['tolerance_low'], high)}"
    return [Line(x=[low, high], y=[-place] * 2, width=1.5, hover=hover, **_look(place))]


def _estimate(
    row: Row, name: str, place: int, look: dict[str, Any], hollow: bool = False, names: str = ""
) -> list[Mark]:
    """An estimate as a dot, with its interval as a thick line."""
    estimate, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    look = look | {"hover": f"{names}{number(estimate)} {bounds(low, high)}"}
    return [
        Line(x=[low, high], y=[-place] * 2, width=5, **look),
        Dots(x=[estimate], y=[-place], size=12, edge=2, hollow=[hollow], **look),
    ]
