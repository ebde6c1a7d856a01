"""The numbers of a report: what the figures and sentences about each environment of a study are made of."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxrl.report.curves import Curves, curves_of, power_of, profile_of, reached_by
from jaxrl.statistics import (
    aggregate,
    compare_all,
    describe,
    final_scores,
    label_settings,
    median_times,
    normalise,
    pilot_runs_needed,
    possible_pairs,
    select,
    sensitivity,
    threshold_times,
    varied_parameters,
    within_run_iqr,
)
from jaxrl.statistics.intervals import RESAMPLING_SEED
from jaxrl.store.folder import Folder
from jaxrl.store.results import Results
from jaxrl.store.status import Status
from jaxrl.text import short_names

SETTINGS = 6  # the best ones are drawn and compared, at most so many in one environment
METRICS = {"evaluation": "eval_return", "training": "return"}  # scores come from the first a study has
Row = Mapping[Any, Any]  # of a table
Effect = float | Mapping[str, float] | None


@dataclasses.dataclass(frozen=True)
class Section:
    """One environment of a study."""

    environment: str  # its label
    metric: str | None  # its last value is a run's score; None if the study has no returns
    episodes: int  # of one evaluation
    limit: int | None  # steps after which they are cut
    running: bool  # whether the study is unfinished
    steps_per_second: float | None  # training steps of all lanes, without compilation and evaluation
    smallest_effect: float | None
    scores: pd.DataFrame  # the score table, one row for each run
    description: pd.DataFrame  # `description_of`, one row for each setting
    selection: pd.DataFrame  # `select`, one row for each setting
    shown: list[str]  # the settings that are drawn and compared, in order of appearance
    curves: dict[str, dict[str, Curves]]  # by the key of METRICS, for those with values, and by setting
    profile: pd.DataFrame  # `performance_profile` of the settings shown
    reached: pd.DataFrame  # `kaplan_meier` of the settings shown; empty where no run reached the threshold
    comparisons: pd.DataFrame  # `compare_all` of the settings shown, with pilot_runs
    sensitivity: pd.DataFrame  # `sensitivity` of each algorithm
    power: pd.DataFrame  # `power_of`

    @property
    def threshold(self) -> float | None:
        """The mean evaluation return that counts as solved."""
        value = self.scores["solved_return"].iloc[0]
        return None if pd.isna(value) else float(value)

    @property
    def names(self) -> dict[str, str]:
        """What figures and sentences call the settings."""
        return short_names(self.description["setting"].to_list())

    @property
    def best(self) -> str:
        """The setting with the highest score in `select`."""
        return highest(self.selection, "score", 1)[0]

    def of(self, setting: str) -> Row:
        """The description of one setting."""
        return self.description[self.description["setting"] == setting].to_dict("records")[0]


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """All environments of a study, by scores that are 0 before training and 1 when solved."""

    table: pd.DataFrame  # `aggregate`, one row for each setting
    shown: list[str]  # the settings that are drawn
    profile: pd.DataFrame  # `performance_profile` of these

    @property
    def names(self) -> dict[str, str]:
        """What figures call the settings."""
        return short_names(self.table["setting"].to_list())

    def of(self, setting: str) -> Row:
        """The row of one setting."""
        return self.table[self.table["setting"] == setting].to_dict("records")[0]


@dataclasses.dataclass(frozen=True)
class Summary:
    """A study."""

    name: str
    manifest: dict[str, Any]
    status: Status | None  # how far an unfinished study is; None if it is complete
    sections: list[Section]
    overall: Aggregate | None
    failed: pd.DataFrame  # the rows of the failed runs, labelled
    unreached: tuple[str, ...]  # sentences on what the budget never reached


def summarise(results: Results, rng: np.random.Generator, smallest_effect: Effect = None) -> Summary:
    """All numbers of a study, of an unfinished one without comparisons and power.

    smallest_effect: the smallest difference of mean returns that matters. One number holds for all
    environments; a dict has one for each, by name or label.
    """
    running = results.manifest["status"] != "complete"
    scores, metric = scores_of(results)
    times = times_of(results)
    tables = {
        "scores": scores,
        "description": description_of(results, scores, metric, times),
        "selection": select(scores, rng),
        "sensitivity": sensitivities(scores),
    }
    environments = {str(name): rows for name, rows in scores.groupby("environment", sort=False)}
    shown = {name: highest(_rows(tables["selection"], name), "score", SETTINGS) for name in environments}
    effects = {name: effect_in(results, rows, smallest_effect) for name, rows in environments.items()}
    drawn = scores[
        [setting in shown[name] for name, setting in zip(scores.environment, scores.setting, strict=True)]
    ]
    best = {name: highest(_rows(tables["selection"], name), "score", 1)[0] for name in environments}
    pairs = pd.DataFrame(columns=["environment"])
    if not running:
        pairs = comparisons_of(drawn, possible_pairs(scores), effects, best, rng)
    curves = {kind: curves_of(results, drawn, name, rng) for kind, name in METRICS.items()}
    sections = [
        Section(
            environment=name,
            metric=metric,
            episodes=results.manifest["study"]["evaluation_episodes"],
            limit=results.manifest["study"].get("evaluation_steps"),
            running=running,
            steps_per_second=None if running else throughput(results, rows),
            smallest_effect=effects[name],
            shown=shown[name],
            curves={kind: found[name] for kind, found in curves.items() if name in found},
            profile=profile_of(_rows(drawn, name), rng),
            reached=reached_by(_rows(times, name), shown[name]),
            comparisons=_rows(pairs, name),
            power=power_of(rows.head(0) if running else rows, effects[name], rng),
            **{kind: _rows(table, name) for kind, table in tables.items()},
        )
        for name, rows in environments.items()
    ]
    return Summary(
        results.path.resolve().name,
        results.manifest,
        Status.of(Folder(results.path)) if running else None,
        sections,
        over_environments(results, scores, rng),
        failed=scores[scores["status"] == "failed"],
        unreached=results.unreached,
    )


def scores_of(results: Results) -> tuple[pd.DataFrame, str | None]:
    """The score table and the metric its scores come from; NaN and None in a study without returns."""
    known = results.curves["metric"].unique()
    for metric in METRICS.values():
        if metric in known:
            return final_scores(results.runs, results.curves, metric), metric
    return label_settings(results.runs).assign(score=np.nan), None


def times_of(results: Results) -> pd.DataFrame:
    """`threshold_times` of the evaluations, where there is a return that counts as solved."""
    if results.curves.loc[results.curves["metric"] == "eval_return", "value"].isna().all():
        return pd.DataFrame(columns=["environment"])
    known = results.runs["solved_return"].notna().to_numpy()
    # A setting is named by what varies among all runs, so they stay together here.
    runs = results.runs.assign(solved_return=results.runs["solved_return"].fillna(np.inf))
    return threshold_times(runs, results.curves)[known]


def description_of(
    results: Results, scores: pd.DataFrame, metric: str | None, times: pd.DataFrame
) -> pd.DataFrame:
    """`describe` with more columns, NaN where there are no values for them.

    within: the median `within_run_iqr` of the finite runs. time, time_low, time_high: `median_times`.
    """
    table = describe(scores, np.random.default_rng(RESAMPLING_SEED))  # as `train` and `compare` do
    within = np.full(len(scores), np.nan)
    if metric is not None:
        iqrs = within_run_iqr(results.metric(metric).reindex(scores["run"]))
        within = np.where(scores["status"] == "failed", np.nan, iqrs)
    of_setting = scores.assign(within=within).groupby(["environment", "setting"], sort=False)["within"]
    table["within"] = of_setting.median().to_numpy()
    if times.empty:
        return table.assign(time=np.nan, time_low=np.nan, time_high=np.nan)
    columns = {"median": "time", "median_low": "time_low", "median_high": "time_high"}
    medians = median_times(times).rename(columns=columns)
    return table.merge(medians[["environment", "setting", *columns.values()]], how="left")


def highest(table: pd.DataFrame, column: str, most: int) -> list[str]:
    """The settings with the highest values of a column, in the table's order."""
    ranked = table.sort_values(column, ascending=False, kind="stable", na_position="last")
    return table.loc[sorted(ranked.index[:most]), "setting"].to_list()


def effect_in(results: Results, scores: pd.DataFrame, smallest_effect: Effect) -> float | None:
    """The smallest effect that matters among the runs of one environment, if it is known."""
    if isinstance(smallest_effect, Mapping):
        name = results.runs.set_index("run").loc[scores["run"].iloc[0], "environment"]
        return smallest_effect.get(scores["environment"].iloc[0], smallest_effect.get(name))
    return smallest_effect


def comparisons_of(
    scores: pd.DataFrame,
    tests: int,
    effects: Mapping[str, float | None],
    best: Mapping[str, str],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """`compare_all` of some settings of a study, empty if there is no pair.

    tests: the pairs of all its settings, for the same runs chose these.
    The column pilot_runs is for undecided pairs with the best setting where no formula gives the runs needed:
    `pilot_runs_needed`, the runs of each setting that would find the difference seen, or infinity where it
    gives up. It is NaN for all other pairs.
    """
    if scores.groupby("environment")["setting"].nunique().max() < 2:
        return pd.DataFrame(columns=["environment"])
    pairs = compare_all(scores, rng, effects, tests=tests)
    of = {key: rows["score"].to_numpy() for key, rows in scores.groupby(["environment", "setting"])}
    needed = []
    for pair in pairs.to_dict("records"):
        name, a, b = pair["environment"], pair["a"], pair["b"]
        unclear = pair["verdict"] == "undecided" and not np.isnan(pair["improvement_low"])
        if unclear and np.isnan(pair["runs_needed"]) and best[name] in (a, b):
            found = pilot_runs_needed(of[name, a], of[name, b], rng)
            needed.append(np.inf if found is None else found)
        else:
            needed.append(np.nan)
    return pairs.assign(pilot_runs=needed)


def sensitivities(scores: pd.DataFrame) -> pd.DataFrame:
    """`sensitivity` to the hyper-parameters that an algorithm's runs vary, with a column `algorithm`."""
    parts = [pd.DataFrame(columns=["environment"])]
    varied = varied_parameters(scores)
    for algorithm, runs in scores.groupby("algorithm", sort=False):
        own = [name for name in varied if runs[name].nunique(dropna=False) > 1]
        if own and runs["score"].notna().any():
            parts.append(sensitivity(runs, own).assign(algorithm=algorithm))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def over_environments(results: Results, scores: pd.DataFrame, rng: np.random.Generator) -> Aggregate | None:
    """The aggregate over several environments; None if any of them cannot be normalised.

    Scores are 0 at the mean evaluation before training and 1 at the return that counts as solved.
    """
    names = scores["environment"].unique()
    if len(names) < 2 or "eval_return" not in results.curves["metric"].to_numpy():
        return None
    untrained = results.metric("eval_return").get(0, pd.Series(dtype=float))
    ends = scores.assign(untrained=untrained.reindex(scores["run"]).to_numpy()).groupby("environment")
    first, solved = ends["untrained"].mean(), ends["solved_return"].first()
    if not (first < solved).all():
        return None
    references = [{str(name): float(value) for name, value in each.items()} for each in (first, solved)]
    comparable = normalise(scores, *references)
    aggregates = aggregate(comparable, rng)
    shown = highest(aggregates, "mean", SETTINGS)
    return Aggregate(aggregates, shown, profile_of(comparable[comparable["setting"].isin(shown)], rng))


def throughput(results: Results, runs: pd.DataFrame) -> float:
    """Training steps per second of the batches that hold any of these runs, on all devices together."""
    wanted, steps = set(runs["run"]), results.runs.set_index("run")["steps"]
    batches = [batch for batch in results.manifest["seconds"] if wanted & set(batch["runs"])]
    at_a_time = min(results.manifest["plan"]["devices"], len(batches))
    seconds = sum(batch["train"] for batch in batches) / max(at_a_time, 1)
    return float(sum(steps[batch["runs"]].sum() for batch in batches) / max(seconds, 1e-9))


def _rows(table: pd.DataFrame, environment: str) -> pd.DataFrame:
    return table[table["environment"] == environment]
