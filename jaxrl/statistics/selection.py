"""Selection of the best setting: how sure it is, how much it inflates scores, and scores on fresh seeds.

Settings are ranked by the means of their scores. In an environment where a run failed (NaN) they are ranked
by the means of their runs' ranks instead, where a failed run ranks below every finite score. Greater is
better.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import integrate, stats

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import mean, sd
from jaxrl.statistics.intervals import bootstrap_samples, mean_interval
from jaxrl.statistics.tables import counts, require_scores, scores_or_ranks


def select(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Which setting of each environment of a score table is the best: one row per setting and environment.

    Raises InputError for a table that is not a score table.

    Columns:
        environment, setting: labels, as in the score table
        runs, failed: number of runs, and of failed ones
        mean: mean of the finite runs
        score: what settings are ranked by. It is `mean` or, if a run of the environment failed, the
            probability that a run of the setting beats a run drawn from the environment.
        probability_best: share of bootstrap samples in which the setting has the highest score, where tied
            settings share a sample; NaN if a setting of the environment has one run
        optimism: expected excess of the best setting's mean over its true mean if all settings are equally
            good, which is the most that selection is expected to inflate it. It is the standard deviation
            within settings times `expected_optimism`, with the fewest finite runs of a setting. Settings
            without a finite run are left out. NaN if a setting has one finite run.
    """
    require_scores(table)
    parts = []
    for environment, runs in table.groupby("environment", sort=False):
        groups = dict(iter(runs.groupby("setting", sort=False)))
        scores = [group["score"].to_numpy(np.float64) for group in groups.values()]
        ranked = scores_or_ranks(*scores)
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
    """Share of bootstrap samples in which each setting has the highest mean, ties shared: [settings]."""
    if min(len(scores) for scores in samples) < 2:
        return np.full(len(samples), np.nan)
    means = np.stack([bootstrap_samples(scores, rng).mean(axis=1) for scores in samples])
    rounding = 1e-12 * max(np.abs(scores).max() for scores in samples)
    best = means >= means.max(axis=0) - rounding  # [settings, RESAMPLES]
    return np.asarray((best / best.sum(axis=0)).mean(axis=1))


def _optimism(samples: Sequence[np.ndarray]) -> float:
    """The column `optimism` of `select`, from the scores of each setting, [runs] each."""
    finite = [scores[~np.isnan(scores)] for scores in samples if not np.isnan(scores).all()]
    fewest = min((len(scores) for scores in finite), default=0)
    if fewest < 2:
        return np.nan
    spread = np.sqrt(np.mean([sd(scores) ** 2 for scores in finite]))
    return float(expected_optimism(len(finite), fewest) * spread)


def expected_optimism(settings: int, runs: int) -> float:
    """Expected excess of the best setting's mean over the true mean, in standard deviations of a run.

    All settings are taken to have the same normal distribution of scores. The result is the expected maximum
    of `settings` standard normal variables, divided by the square root of `runs`. For 50 settings it is 1.30
    with 3 runs and 0.71 with 10. Raises InputError unless settings and runs are at least 1.
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
    """The score of the best setting of a search on fresh seeds: one row per environment.

    searched, fresh: score tables with a column `seed`. Both are labelled together, as rows of one table with
    a column `study`, so that the labels of a setting agree. The best setting has the highest score of
    `select`. Raises InputError if a fresh run of it has a seed of the search, or if it has no fresh run.

    Columns:
        environment, setting: labels of the environment and of its best setting
        selected: mean of the setting's finite runs in the search, which is inflated by the selection
        fresh, fresh_low, fresh_high: mean of its finite fresh runs with its interval, the result to report
        inflation: selected - fresh
        runs, failed: number of fresh runs, and of failed ones
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
                f"{chosen['setting']!r}, the best in {environment}, has no fresh run: train it on fresh "
                "seeds, and label both studies together"
            )
        seeds = searched.loc[searched["environment"] == environment, "seed"]
        both = sorted(set(seeds) & set(again["seed"]))
        if both:
            raise InputError(
                f"seed {both[0]} of {environment} was used by the search too: give seeds that were not"
            )
        result = mean_interval(again["score"].to_numpy(), rng, confidence)
        rows.append(
            {"environment": environment, "setting": chosen["setting"], "selected": chosen["mean"]}
            | result.columns("fresh")
            | {"inflation": chosen["mean"] - result.estimate}
            | counts(again)
        )
    return pd.DataFrame(rows)


def sensitivity(table: pd.DataFrame, parameters: Sequence[str]) -> pd.DataFrame:
    """How the score depends on each hyper-parameter: one row per value of it in each environment.

    parameters: columns of the score table. Raises InputError for a table that lacks one, or for a setting
    with two values of one.

    Columns:
        environment: label, as in the score table
        parameter, value: name and value of the hyper-parameter
        settings, runs, failed: number of settings that have the value, of their runs, and of failed ones
        mean: mean over these settings of their mean scores
        best: mean score of the best of these settings, as when all other hyper-parameters are tuned
        share: main effect of the parameter, the same in all of its rows: `main_effect` of its values on the
            settings' mean scores or, if a run of the environment failed, mean ranks
    """
    require_scores(table, *parameters)
    rows = []
    for environment, runs in table.groupby("environment", sort=False):
        groups, merit = runs.groupby("setting", sort=False), merits(runs)
        for parameter in parameters:
            if (groups[parameter].nunique(dropna=False) > 1).any():
                raise InputError(f"a setting of {environment} has more than one value of {parameter!r}")
            values = groups[parameter].first().dropna()  # by setting, for those that have the parameter
            share = main_effect(merit[values.index], values)
            for value, own in merit[values.index].groupby(values):
                having = runs[runs["setting"].isin(own.index)]
                means = having.groupby("setting")["score"].mean()
                rows.append(
                    {"environment": environment, "parameter": parameter, "value": value}
                    | {"settings": len(own), **counts(having)}
                    | {"mean": means.mean(), "best": means[str(own.idxmax())], "share": share}
                )
    return pd.DataFrame(rows)


def merits(runs: pd.DataFrame) -> pd.Series:
    """What the settings of one environment are ranked by, the column `score` of `select`, by their labels."""
    (ranked,) = scores_or_ranks(runs["score"].to_numpy(np.float64))
    return runs.assign(ranked=ranked).groupby("setting", sort=False)["ranked"].mean()


def main_effect(scores: pd.Series, values: pd.Series) -> float:
    """Share of the variance of scores that lies between groups of equal values; NaN without variance.

    scores, values: one per setting. On a full grid the main effects of all parameters add up to at most 1,
    and interactions and noise make up the rest.
    """
    explained = scores.groupby(values).transform("mean").var(ddof=0)
    return float(explained / scores.var(ddof=0)) if scores.nunique() > 1 else np.nan
