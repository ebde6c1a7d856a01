"""What a report says of each environment and setting, from the tables of a study."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from jaxrl.results import Results
from jaxrl.statistics import Interval, curve_band, mean_interval, share_interval


@dataclasses.dataclass(frozen=True)
class Curves:
    """One metric of a setting's runs."""

    steps: np.ndarray  # [points] environment steps
    values: np.ndarray  # [runs, points], NaN where a run has no value
    seeds: list[int]  # [runs]
    low: np.ndarray  # [points], of the mean's 95 % interval
    high: np.ndarray  # [points]

    @property
    def mean(self) -> np.ndarray:
        """[points], over the runs that have a value; NaN where none has."""
        known = ~np.isnan(self.values)
        total, count = np.where(known, self.values, 0.0).sum(axis=0), known.sum(axis=0)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


@dataclasses.dataclass(frozen=True)
class Setting:
    """The runs of a study that differ by their seed alone."""

    label: str  # the algorithm and what distinguishes the setting from its neighbours
    runs: int
    failed: int
    steps: int  # of each run
    final: Interval  # mean of the runs' last evaluation
    scores: np.ndarray  # [runs], the last evaluation's mean return of each run
    threshold: float | None  # mean evaluation return that counts as solved
    solved: Interval | None  # share of runs whose last evaluation reaches it; failed runs do not
    evaluation: Curves
    training: Curves

    @property
    def lowest(self) -> float:
        """The least score of a run that did not fail; NaN if none is left."""
        return float(np.nanmin(self.scores)) if self.failed < self.runs else np.nan

    @property
    def median(self) -> float:
        """Likewise the median."""
        return float(np.nanmedian(self.scores)) if self.failed < self.runs else np.nan

    @property
    def highest(self) -> float:
        """Likewise the highest."""
        return float(np.nanmax(self.scores)) if self.failed < self.runs else np.nan


@dataclasses.dataclass(frozen=True)
class Section:
    study: str  # the folder's name
    environment: str
    steps_per_second: float  # training steps of all lanes, compilation and evaluation apart
    episodes: int  # of one evaluation
    settings: list[Setting]


def summarise(results: Results, rng: np.random.Generator) -> list[Section]:
    """A section for each environment of a study."""
    return [
        Section(
            study=results.path.name,
            environment=str(name),
            steps_per_second=throughput(results, runs),
            episodes=results.manifest["study"]["evaluation_episodes"],
            settings=[
                summarise_setting(results, label, members, rng) for label, members in settings_of(runs)
            ],
        )
        for name, runs in results.runs.groupby("environment", sort=False)
    ]


def settings_of(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The settings among one environment's runs, each with a label of what distinguishes it."""
    columns = [c for c in runs.columns if c not in ("run", "seed", "status", "environment")]
    varied = [
        column
        for column in columns
        if column not in ("algorithm", "steps", "solved_return")
        and runs.groupby("algorithm")[column].nunique(dropna=False).max() > 1
    ]
    settings = []
    groups: Any = runs.groupby(["algorithm", *varied], sort=False, dropna=False)
    for (algorithm, *values), members in groups:
        own = [f"{c}={_short(v)}" for c, v in zip(varied, values, strict=True) if not pd.isna(v)]
        settings.append((" ".join([algorithm, *own]), members))
    return settings


def summarise_setting(results: Results, label: str, runs: pd.DataFrame, rng: np.random.Generator) -> Setting:
    """The numbers of one setting's runs."""
    evaluation = curves_of(results, "eval_return", runs, rng)
    failed = (runs.status == "failed").to_numpy()
    scores = results.final().loc[runs.run].to_numpy()
    threshold = _known(runs.solved_return.iloc[0])
    return Setting(
        label=label,
        runs=len(runs),
        failed=int(failed.sum()),
        steps=int(runs.steps.iloc[0]),
        final=mean_interval(scores, rng),
        scores=scores,
        threshold=threshold,
        solved=None if threshold is None else share_interval(int((scores >= threshold).sum()), len(scores)),
        evaluation=evaluation,
        training=curves_of(results, "return", runs, rng),
    )


def curves_of(results: Results, metric: str, runs: pd.DataFrame, rng: np.random.Generator) -> Curves:
    """One metric of the given runs, failed ones as NaN, with the band of its mean; empty if there is none."""
    rows = results.curves[(results.curves.metric == metric) & results.curves.run.isin(runs.run)]
    table = rows.pivot(index="run", columns="step", values="value").reindex(runs.run)
    table[(runs.status == "failed").to_numpy()] = np.nan
    table = table.dropna(axis="columns", how="all")
    values = table.to_numpy(np.float64)
    low, high = curve_band(values, rng)
    return Curves(table.columns.to_numpy(), values, runs.seed.to_list(), low, high)


def throughput(results: Results, runs: pd.DataFrame) -> float:
    """Training steps per second of the batches that hold any of these runs."""
    wanted, steps = set(runs.run), results.runs.set_index("run").steps
    batches = [b for b in results.manifest["seconds"] if wanted & set(b["runs"])]
    seconds = sum(batch["train"] for batch in batches)
    return float(sum(steps[batch["runs"]].sum() for batch in batches) / max(seconds, 1e-9))


def _known(value: float | None) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
