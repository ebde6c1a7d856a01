"""The curves of a report: values by steps, shares of runs by scores and by steps, power by runs."""

import dataclasses

import numpy as np
import pandas as pd

from jaxrl.statistics import (
    curve_band,
    kaplan_meier,
    mean_curves,
    performance_profile,
    pilot_power,
    simultaneous_band,
    t_test_power,
    tolerance_band,
)
from jaxrl.store.results import Results

SEEDS = 60  # single runs drawn in one figure, shared evenly by its settings
STUDY_SEEDS = 300  # single runs drawn in the figures of a whole study
POINTS = 100  # of each curve, evenly spaced
EFFECTS = (0.5, 1.0, 1.5, 2.0)  # of the power curves, in standard deviations
RESAMPLED = (3, 5, 8, 16, 32, 64, 128)  # runs of each setting for which the power is also resampled
BANDS = {
    "pointwise": curve_band,
    "whole": simultaneous_band,
    "tolerance": lambda curves, *_: tolerance_band(curves),
}


@dataclasses.dataclass(frozen=True)
class Curves:
    """One metric of one setting. Failed runs are left out, but the tolerance band counts them."""

    bands: pd.DataFrame  # one row for each step: step, mean, and <band>_low, <band>_high of each of BANDS
    single: pd.DataFrame  # the values of the single runs that are drawn, [seed, step]


def curves_of(
    results: Results, scores: pd.DataFrame, metric: str, rng: np.random.Generator
) -> dict[str, dict[str, Curves]]:
    """The curves of a metric for the runs of a score table, by environment and setting.

    Environments without values are left out. Each curve has at most POINTS points, and the settings of an
    environment share the single runs evenly.
    """
    values = results.curves[results.curves["metric"] == metric]
    values = values[values["run"].isin(scores["run"])]
    if values.empty:
        return {}
    joined = mean_curves(results.runs, values, rng, metric, BANDS)
    wide, found = results.metric(metric), {}
    seeds = min(SEEDS, STUDY_SEEDS // scores["environment"].nunique())
    for environment, rows in scores.groupby("environment", sort=False):
        here = joined[joined["environment"] == environment]
        if here["mean"].isna().all():
            continue
        share = max(seeds // rows["setting"].nunique(), 1)
        found[str(environment)] = {
            str(setting): _thinned(here[here["setting"] == setting], wide, members, share)
            for setting, members in rows.groupby("setting", sort=False)
        }
    return found


def _thinned(bands: pd.DataFrame, wide: pd.DataFrame, runs: pd.DataFrame, seeds: int) -> Curves:
    bands = bands.iloc[evenly(len(bands), POINTS)]
    members = runs[runs["status"] != "failed"].iloc[:seeds]
    single = wide.reindex(index=members["run"], columns=bands["step"]).set_axis(members["seed"])
    return Curves(bands, single)


def profile_of(scores: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """`performance_profile` at POINTS values, which span a little more than the scores; empty without any."""
    low, high = scores["score"].min(), scores["score"].max()
    if np.isnan(low):
        return pd.DataFrame(columns=["setting"])
    margin = 0.02 * (high - low) or max(abs(high), 1.0) / 10
    return performance_profile(scores, np.linspace(low - margin, high + margin, POINTS), rng)


def reached_by(times: pd.DataFrame, shown: list[str]) -> pd.DataFrame:
    """`kaplan_meier` of some settings from step 0, with a column `setting`; empty if no run reached it."""
    if times.empty or not times["reached"].any():
        return pd.DataFrame(columns=["setting"])
    parts = []
    for setting in shown:
        own = times[times["setting"] == setting]
        curve = kaplan_meier(own["step"].to_numpy(), own["reached"].to_numpy())
        start = curve.head(1) * 0 if curve["step"].iloc[0] > 0 else curve.head(0)
        parts.append(pd.concat([start, curve]).assign(setting=setting))
    return pd.concat(parts, ignore_index=True)


def power_of(scores: pd.DataFrame, smallest_effect: float | None, rng: np.random.Generator) -> pd.DataFrame:
    """The power to find EFFECTS and the smallest effect, given the spread of the runs within settings.

    Columns: effect (in standard deviations), difference (in return), runs (of each setting), power (of the
    t-test), resampled (at RESAMPLED runs `pilot_power` of the deviations from the settings' means, else NaN).
    Empty where no setting has any spread.
    """
    by_setting = scores.groupby("setting", sort=False)["score"]
    spread = float(np.sqrt(by_setting.var().mean()))
    if not spread > 0:
        return pd.DataFrame(columns=["effect", "difference", "runs", "power", "resampled"])
    deviations = (scores["score"] - by_setting.transform("mean")).dropna().to_numpy()
    pilot = deviations * spread / deviations.std()
    most = max(128, 2 * int(by_setting.size().max()))
    grid = np.unique([*np.geomspace(2, most, 40).round().astype(int), *RESAMPLED])
    effects = {*EFFECTS} if smallest_effect is None else {smallest_effect / spread, *EFFECTS}
    rows: list[dict[str, float]] = []
    for effect in sorted(effects):
        difference = effect * spread
        for runs in grid.tolist():
            resampled = pilot_power(pilot + difference, pilot, runs, rng) if runs in RESAMPLED else np.nan
            row = {"effect": effect, "difference": difference, "runs": runs, "resampled": resampled}
            rows.append(row | {"power": t_test_power(effect, runs)})
    return pd.DataFrame(rows)


def evenly(count: int, most: int) -> np.ndarray:
    """At most `most` places among `count`, evenly spaced, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
