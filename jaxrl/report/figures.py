"""Which figures an environment has, with what they need to be read; how they look in every format."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxrl.report.summary import DOTS, POINTS, SEEDS, STUDY_SEEDS, Aggregate, Curves, Section, evenly
from jaxrl.text import counted, wrapped

# Okabe & Ito's palette, distinct for colour-blind eyes, its blue lighter for dark ground.
COLOURS = ((24, 128, 196), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))
LETTERS = "ABCDEF"  # what the settings are called where there is no room for their names
NEUTRAL = (128, 136, 144)  # readable on either ground
TICKS = 6  # at most, of the values of a hyper-parameter on a log axis
DASHES = ("solid", "dash", "dot", "dashdot")

CURVES = (
    "Thick: the mean over the runs. Dark band: its 95 % interval at each step by itself; dashed: a band "
    "that holds the whole mean curve with 95 % confidence. Light band: the 90 % tolerance interval of "
    "single runs, which takes 46 of them; where it would begin at a failed run, it begins at the lowest "
    f"value drawn. Thin: single seeds, at most {SEEDS} in a figure and {STUDY_SEEDS} in a study, shared "
    f"evenly by the settings. Curves are down-sampled to at most {POINTS} points. Dotted: the return that "
    "counts as solved."
)
SCORES = (
    "A dot is a run; that dots lie higher or lower only keeps them apart. Of a setting with more than "
    f"{DOTS} runs, {DOTS} are drawn, evenly spaced by rank. Upright: the median, failed runs counted as the "
    "lowest. Line through the dots: the 90 % tolerance interval, which takes 46 runs."
)
INTERVALS = (
    "Thick: the mean's 95 % interval, which narrows with more runs. Thin: the 90 % tolerance interval, in "
    "which nine in ten single runs lie and which does not narrow."
)
PROFILE = (
    "Share of runs that score above each value, with its 95 % interval at each value. Failed runs are "
    "above none. A setting whose curve is nowhere below another's is at least as good at every level."
)
IMPROVEMENT = (
    "Probability that a run of the first setting scores higher than a run of the second, ties counted "
    "half, with its 95 % interval. Filled: the comparison is decided; hollow: it is undecided."
)
REACHED = (
    "Share of runs that have had an evaluation at or above the return that counts as solved, by steps "
    "(Kaplan and Meier's estimate), with its 95 % interval. A run that has not got there when its curve ends "
    "is censored, not left out; a failed run never gets there."
)
POWER = (
    "Chance that a comparison of two settings finds a difference of their means, for several true "
    "differences, by the runs of each. Lines: a two-sided t-test at the level 5 %, with the spread of the "
    "runs here. Dots: Welch's test of resampled runs, which are not normal. Grey: the runs that there are. "
    "Dotted: 80 %, the custom."
)
AGGREGATES = {
    "mean": ("mean", "Each environment has the same weight."),
    "median": ("median", "The median of the environments' means."),
    "iqm": ("interquartile mean", "Of all runs together, without the lowest and the highest quarter."),
    "optimality_gap": (
        "optimality gap",
        "Mean shortfall from 1, the return that counts as solved: less is better.",
    ),
}


class Figure(NamedTuple):
    kind: str  # a function of `interactive` and of `static`
    name: str  # of its files, before the environment's
    title: str
    caption: str
    arguments: tuple[str, ...] = ()


def figures_of(section: Section) -> list[Figure]:
    """The figures that can be drawn of an environment."""
    figures = []
    if section.curves:
        figures.append(Figure("learning_curves", "learning-curves", "Learning curves", CURVES))
    if section.scores["score"].notna().any():
        figures += [
            Figure("final_scores", "final-scores", "Final scores", SCORES),
            Figure("intervals", "intervals", "Means and their intervals", INTERVALS),
            Figure("profile", "performance-profile", "Performance profile", PROFILE),
        ]
        if not section.reached.empty:
            figures.append(Figure("reached", "time-to-threshold", "Time to solve", REACHED))
        if not section.comparisons.empty:
            figures.append(Figure("improvement", "improvement", "Probability of improvement", IMPROVEMENT))
    for algorithm, parameter in parameters_of(section.sensitivity):
        title = f"Sensitivity of {algorithm} to {parameter}"
        name = f"sensitivity-{algorithm}-{parameter}"
        caption = sensitivity_caption(section.sensitivity, algorithm, parameter)
        figures.append(Figure("sensitivity", name, title, caption, (algorithm, parameter)))
    if not section.power.empty:
        figures.append(Figure("power", "power", "Power of a comparison", POWER))
    return figures


def figures_over(overall: Aggregate) -> list[Figure]:
    """The figures over all environments of a study."""
    figures = [
        Figure("aggregate", f"aggregate-{name}", title[0].upper() + title[1:], caption, (name,))
        for name, (title, caption) in AGGREGATES.items()
    ]
    kept = figures if overall.table["mean_low"].notna().any() else figures[:0]
    return [*kept, Figure("profile", "performance-profile", "Performance profile", PROFILE)]


def parameters_of(sensitivity: pd.DataFrame) -> list[tuple[str, str]]:
    """Algorithm and hyper-parameter of each curve of a `Section.sensitivity`: those with several values."""
    if sensitivity.empty:
        return []
    values = sensitivity.groupby(["algorithm", "parameter"], sort=False)["value"].nunique()
    return [(str(algorithm), str(parameter)) for algorithm, parameter in values.index[values > 1]]


def sensitivity_caption(sensitivity: pd.DataFrame, algorithm: str, parameter: str) -> str:
    """What the curve shows, and how much of the settings' variance it explains."""
    rows = sensitivity_rows(sensitivity, algorithm, parameter)
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


def sensitivity_rows(sensitivity: pd.DataFrame, algorithm: str, parameter: str) -> pd.DataFrame:
    """The points of one curve, from the lowest value to the highest."""
    rows = sensitivity[(sensitivity["algorithm"] == algorithm) & (sensitivity["parameter"] == parameter)]
    return rows.sort_values("value")


def sensitivity_lines(rows: pd.DataFrame) -> list[str]:
    """The columns of a curve that are drawn; the best of single settings are the settings themselves."""
    return ["mean"] if (rows["settings"] == 1).all() else ["mean", "best"]


def scale_of(values: Sequence[object]) -> str:
    """The scale of an axis for values: "log" or "linear" for numbers, else "category"."""
    if any(isinstance(v, bool | np.bool_) or not isinstance(v, int | float | np.number) for v in values):
        return "category"
    numbers = np.array(values, float)
    return "log" if numbers.min() > 0 and numbers.max() >= 10 * numbers.min() else "linear"


def ticks_of(values: np.ndarray) -> list[float]:
    """Those of a log axis's values, in increasing order, whose labels have room beside that of the last."""
    places = np.log(values)
    room = (places[-1] - places[0]) / (TICKS - 1) - 1e-9
    kept = [0]
    for place in range(1, len(values)):
        if places[place] - places[kept[-1]] >= room:
            kept.append(place)
    return [float(value) for value in values[kept]]


def stepped(table: pd.DataFrame, x: str) -> pd.DataFrame:
    """The rows as a line that keeps each value until the next x."""
    twice = table.loc[table.index.repeat(2)]
    return twice.iloc[:-1].assign(**{x: twice[x].to_numpy()[1:]})


def row_labels(shown: Section | Aggregate, newline: str, width: int) -> list[str]:
    """The settings drawn, each with the number of its failed runs, if any."""
    labels = []
    for setting in shown.shown:
        row = shown.of(setting)
        of_all = "all" if row["failed"] == row["runs"] else f"{row['failed']} of"
        failed = f"{newline}{of_all} {row['runs']} failed" if row["failed"] else ""
        labels.append(wrapped(shown.names[setting], newline, width) + failed)
    return labels


def floor_of(curves: Sequence[Curves]) -> float:
    """The lowest finite value of curves that are drawn together."""
    tables = [table.to_numpy(float) for each in curves for table in (each.bands["mean"], each.single)]
    values = np.concatenate([table.ravel() for table in tables])
    return float(values[np.isfinite(values)].min())


def dots(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of one setting that are drawn as dots, with a `shift` in [-0.5, 0.5) that keeps them apart."""
    ranked = runs.dropna(subset="score").sort_values("score")
    drawn = ranked.iloc[evenly(len(ranked), DOTS)]
    golden = 0.618034  # its multiples are spread evenly over [0, 1), yet irregular
    return drawn.assign(shift=np.arange(len(drawn)) * golden % 1 - 0.5)


def score_range(section: Section) -> tuple[float, float]:
    """The ends of an axis for the final scores shown, with room around them; finite scores are needed."""
    scores = section.scores.loc[section.scores["setting"].isin(section.shown), "score"]
    ends = [scores.min(), scores.max(), *([] if section.threshold is None else [section.threshold])]
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low)
    if margin < 1e-3 * max(abs(low), abs(high), 1e-3):  # all scores the same, or nearly so
        margin = 0.1 * max(abs(low), abs(high), 0.1)
    return low - margin, high + margin


def pair_labels(section: Section) -> list[str]:
    """The pairs that are compared, by the settings' letters."""
    letters = dict(zip(section.shown, LETTERS, strict=False))
    pairs = section.comparisons.to_dict("records")
    return [f"{letters[pair['a']]} > {letters[pair['b']]}" for pair in pairs]
