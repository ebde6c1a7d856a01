"""Choosing among settings: how sure the choice is, how much it flatters, and what fresh seeds say.

Settings are ranked by their means or, in an environment where a run failed (NaN), by the ranks of their runs,
in which it is below every finite score. Greater scores are better.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import integrate, stats

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import mean, sd
from jaxrl.statistics.intervals import draws, mean_interval
from jaxrl.statistics.samples import comparable, counts, require_scores


def select(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """How sure it is which setting is the best: one row a setting of each environment of a score table.

    mean: of the finite runs. score, by which the best is chosen: the mean too or, in an environment where a
    run failed, the probability that a run of the setting beats one of the environment's. probability_best:
    share of bootstrap samples of runs in which its score is the highest, ties divided; NaN if a setting has
    one run. optimism: how much the mean of the best would exceed its true one if all settings were equally
    good, the most that choosing can flatter: `expected_optimism` times the standard deviation within
    settings, of those with a finite run, with the finite runs of the smallest; NaN if that has one. Raises
    InputError for a table that is not one row a run.
    """
    require_scores(table)
    parts = []
    for environment, runs in table.groupby("environment", sort=False):
        groups = dict(iter(runs.groupby("setting", sort=False)))
        scores = [group["score"].to_numpy(np.float64) for group in groups.values()]
        ranked = comparable(*scores)
        part = pd.DataFrame([counts(group) for group in groups.values()])
        part.insert(0, "environment", environment)
        part.insert(1, "setting", list(groups))
        parts.append(
            part.assign(
                mean=[float(mean(group)) for group in scores],
                score=[group.mean() for group in ranked],
                probability_best=_probability_best(ranked, rng),
                optimism=_optimism(scores),
            )
        )
    return pd.concat(parts, ignore_index=True)


def _probability_best(samples: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Share of bootstrap samples in which each has the highest mean, ties divided: [samples]."""
    if min(len(scores) for scores in samples) < 2:
        return np.full(len(samples), np.nan)
    means = np.stack([draws(scores, rng).mean(axis=1) for scores in samples])  # [samples, RESAMPLES]
    rounding = 1e-12 * max(np.abs(scores).max() for scores in samples)
    best = means >= means.max(axis=0) - rounding
    return np.asarray((best / best.sum(axis=0)).mean(axis=1))


def _optimism(samples: Sequence[np.ndarray]) -> float:
    finite = [scores[~np.isnan(scores)] for scores in samples if not np.isnan(scores).all()]
    fewest = min((len(scores) for scores in finite), default=0)
    if fewest < 2:
        return np.nan
    spread = np.sqrt(np.mean([sd(scores) ** 2 for scores in finite]))
    return float(expected_optimism(len(finite), fewest) * spread)


def expected_optimism(settings: int, runs: int) -> float:
    """Expected excess of the best mean of equal normal settings, in standard deviations of a run.

    The mean of the largest of `settings` standard normals over the root of `runs`: 1.30 for 50 settings of
    3 runs, 0.71 of 10.
    """
    if settings < 1 or runs < 1:
        raise InputError(f"settings and runs must be at least 1, got {settings} and {runs}")

    def integrand(x: float) -> float:
        return x * settings * stats.norm.pdf(x) * stats.norm.cdf(x) ** (settings - 1)

    largest, _ = integrate.quad(integrand, -12, 12, points=[0.0], limit=200)
    return float(largest / np.sqrt(runs))


def fresh_scores(
    searched: pd.DataFrame, fresh: pd.DataFrame, rng: np.random.Generator, confidence: float = 0.95
) -> pd.DataFrame:
    """What the setting that was best in a search scores on fresh seeds: one row an environment.

    searched, fresh: score tables with a column `seed`, labelled together (two values of `study`), so that
    the names of settings agree. The best is that with the highest score of `select`. selected is the mean of
    its runs in the search, which flatters; fresh, with its interval, runs and failed, that of the fresh ones,
    the result; inflation the first less the second. Raises InputError if a seed served both, or if the best
    setting was not run again.
    """
    require_scores(searched, "seed")
    require_scores(fresh, "seed")
    rows = []
    for environment, runs in select(searched, rng).groupby("environment", sort=False):
        chosen = runs.sort_values("score", ascending=False, kind="stable").iloc[0]
        here = fresh[fresh["environment"] == environment]
        again = here[here["setting"] == chosen["setting"]]
        if again.empty:
            raise InputError(
                f"{chosen['setting']!r}, the best in {environment}, has no fresh run: run it, and label both "
                "studies together"
            )
        seeds = searched.loc[searched["environment"] == environment, "seed"]
        both = sorted(set(seeds) & set(again["seed"]))
        if both:
            raise InputError(f"seed {both[0]} of {environment} served the search too: evaluate on fresh ones")
        result = mean_interval(again["score"].to_numpy(), rng, confidence)
        rows.append(
            {"environment": environment, "setting": chosen["setting"], "selected": chosen["mean"]}
            | result.columns("fresh")
            | {"inflation": chosen["mean"] - result.estimate}
            | counts(again)
        )
    return pd.DataFrame(rows)


def sensitivity(table: pd.DataFrame, parameters: Sequence[str]) -> pd.DataFrame:
    """How the score changes along each hyper-parameter, one row a value of each in each environment.

    parameters: columns of the score table. settings, runs, failed: how many have the value; mean: of the
    settings' mean scores; best: that of the best of them, the envelope when all else is tuned. share: of the
    variance of the settings' mean scores (or mean ranks, where a run failed), what this parameter's values
    alone explain (its main effect; on a full grid the shares add up to at most 1, the rest being interactions
    and noise). Raises InputError for a setting with two values.
    """
    require_scores(table, *parameters)
    rows = []
    for environment, runs in table.groupby("environment", sort=False):
        (ranked,) = comparable(runs["score"].to_numpy(np.float64))
        groups = runs.assign(ranked=ranked).groupby("setting", sort=False)
        merits = groups["ranked"].mean()
        for parameter in parameters:
            if (groups[parameter].nunique(dropna=False) > 1).any():
                raise InputError(f"a setting of {environment} has more than one value of {parameter!r}")
            values = groups[parameter].first().dropna()  # [settings], of those that have the parameter
            share = main_effect(merits[values.index], values)
            for value, own in merits[values.index].groupby(values):
                having = runs[runs["setting"].isin(own.index)]
                means = having.groupby("setting")["score"].mean()
                rows.append(
                    {"environment": environment, "parameter": parameter, "value": value}
                    | {"settings": len(own), **counts(having)}
                    | {"mean": means.mean(), "best": means[str(own.idxmax())], "share": share}
                )
    return pd.DataFrame(rows)


def main_effect(scores: pd.Series, values: pd.Series) -> float:
    """Share of the variance of scores that lies between the groups of equal values; NaN without variance."""
    explained = scores.groupby(values).transform("mean").var(ddof=0)
    return float(explained / scores.var(ddof=0)) if scores.nunique() > 1 else np.nan
