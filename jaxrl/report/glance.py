"""What a reader sees first of an environment: a few numbers, and a small curve beside each setting."""

import markupsafe
import numpy as np

from jaxrl.report.summary import Section
from jaxrl.statistics import Interval
from jaxrl.text import estimate, number, percent

WIDTH, HEIGHT = 96, 20  # pixels of a small curve


def chips(section: Section) -> list[tuple[str, str]]:
    """Names and values: runs, steps, the best setting's final mean and its share of solved runs, speed."""
    best, values = section.of(section.best), [("runs", f"{len(section.scores):,}")]
    values.append(("steps of a run", steps_of(section)))
    count = len(section.description)
    several = f" of the best of {count} settings, chosen by these runs" if count > 1 else ""
    if not np.isnan(best["mean"]):
        name = "mean so far" if section.running else "final mean"
        values.append((f"{name}{several}", estimate(Interval.of(best, "mean"))))
    if not np.isnan(best["solved"]):
        values.append((f"solved{several}", percent(Interval.of(best, "solved"))))
    if section.steps_per_second is not None:
        values.append(("training steps/s, all runs together", number(section.steps_per_second)))
    return values


def sparkline(section: Section, setting: str) -> markupsafe.Markup:
    """The mean evaluation curve of a setting as a small SVG, empty if there is none.

    All settings of an environment share the scale.
    """
    curves = {
        name: each.bands[["step", "mean"]].dropna().to_numpy()
        for name, each in section.curves.get("evaluation", {}).items()
    }
    if len(curves.get(setting, ())) < 2:
        return markupsafe.Markup()
    means = np.concatenate([each[:, 1] for each in curves.values()])
    low, high = means.min(), means.max()
    x = WIDTH * curves[setting][:, 0] / section.scores["steps"].max()
    y = 1 + (HEIGHT - 2) * (1 - (curves[setting][:, 1] - low) / max(high - low, 1e-9))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return markupsafe.Markup(
        '<svg class="spark" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">'
        '<polyline points="{3}"/></svg>'
    ).format(WIDTH, HEIGHT, f"mean evaluation return, {number(low)} to {number(high)}", points)


def steps_of(section: Section) -> str:
    """The budget of an environment's runs: "80,000", "80,000 to 80,128"."""
    low, high = section.scores["steps"].min(), section.scores["steps"].max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
