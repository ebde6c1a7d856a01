"""Choosing among settings: how sure the choice is, how much it flatters, and what fresh seeds say.

Choosing ranks settings by their means, so a failed run (NaN) counts as the lowest finite score of its
environment. Greater scores are better.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import integrate, stats

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import ratio, sd
from jaxrl.statistics.intervals import draws, mean_interval
from jaxrl.statistics.samples import counts, require_scores, with_worst


def select(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """How sure it is which setting is the best: one row a setting of each environment of a score table.

    score: its mean. probability_best: share of bootstrap samples of runs in which its mean is the highest,
    ties divided. optimism: how much the score of the best would exceed its true mean if all settings were
    equally good, the most that choosing can flatter: `expected_optimism` times the standard deviation
    within settings, with the runs of the smallest; NaN if that has one run. Raises InputError for a table
    that is not one row a run.
    """
    require_scores(table)
    parts = []
    for environment, runs in table.groupby("environment", sort=False):
        groups = dict(iter(runs.groupby("setting", sort=False)))
        scores = with_worst(*(group["score"].to_numpy(np.float64) for group in groups.values()))
        means = np.stack([draws(group, rng).mean(axis=1) for group in scores])  # [settings, RESAMPLES]
        best = np.isclose(means, means.max(axis=0), rtol=1e-12, atol=0)
        fewest = min(len(group) for group in scores)
        spread = np.sqrt(np.mean([sd(group) ** 2 for group in scores])) if fewest > 1 else np.nan
        part = pd.DataFrame([counts(group) for group in groups.values()])
        part.insert(0, "environment", environment)
        part.insert(1, "setting", list(groups))
        parts.append(
            part.assign(
                score=[group.mean() for group in scores],
                probability_best=ratio(best, np.broadcast_to(best.sum(axis=0), best.shape)).mean(axis=1),
                optimism=expected_optimism(len(groups), fewest) * spread,
            )
        )
    return pd.concat(parts, ignore_index=True)


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
    the names of settings agree. selected is the mean by which it was chosen, which flatters; fresh, with its
    interval, runs and failed, is the result; inflation the first less the second. In both a failed run counts
    as the lowest score. Raises InputError if a
    seed served both, or if the best setting was not run again.
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
        _, scores = with_worst(
            searched.loc[searched["environment"] == environment, "score"].to_numpy(np.float64),
            again["score"].to_numpy(np.float64),
        )
        result = mean_interval(scores, rng, confidence)
        rows.append(
            {"environment": environment, "setting": chosen["setting"], "selected": chosen["score"]}
            | result.columns("fresh")
            | {"inflation": chosen["score"] - result.estimate}
            | counts(again)
        )
    return pd.DataFrame(rows)


def sensitivity(table: pd.DataFrame, parameters: Sequence[str]) -> pd.DataFrame:
    """How the score changes along each hyper-parameter, one row a value of each in each environment.

    parameters: columns of the score table. settings: how many have the value; mean: of their mean scores;
    best: of the best of them, the envelope when all else is tuned. share: of the variance of the settings'
    mean scores, what this parameter's values alone explain (its main effect; on a full grid the shares add
    up to at most 1, the rest being interactions and noise). Raises InputError for a setting with two values.
    """
    require_scores(table, *parameters)
    rows = []
    for environment, runs in table.groupby("environment", sort=False):
        runs = runs.assign(score=with_worst(runs["score"].to_numpy(np.float64))[0])
        groups = runs.groupby("setting", sort=False)
        means = groups["score"].mean()
        for parameter in parameters:
            if (groups[parameter].nunique(dropna=False) > 1).any():
                raise InputError(f"a setting of {environment} has more than one value of {parameter!r}")
            values = groups[parameter].first().dropna()  # [settings], of those that have the parameter
            share = main_effect(means[values.index], values)
            rows += [
                {"environment": environment, "parameter": parameter, "value": value, "settings": len(scores)}
                | {"mean": scores.mean(), "best": scores.max(), "share": share}
                for value, scores in means[values.index].groupby(values)
            ]
    return pd.DataFrame(rows)


def main_effect(scores: pd.Series, values: pd.Series) -> float:
    """Share of the variance of scores that lies between the groups of equal values; NaN without variance."""
    explained = scores.groupby(values).transform("mean").var(ddof=0)
    return float(explained / scores.var(ddof=0)) if scores.nunique() > 1 else np.nan
