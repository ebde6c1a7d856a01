"""The tables that statistics start from: their columns, their checks, and what a failed run counts.

A column `study` tells the runs of several studies apart. All tables have it, or none.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from jaxrl.errors import InputError

# A score table has one row per run. jaxrl.statistics.scores makes it from the tables of runs and curves.
SCORE_COLUMNS = (
    "run",  # as in the table of runs
    "environment",  # name and varied fields, such as "CartPole-v1 pole_length=0.5"
    "setting",  # algorithm and varied fields, such as "ppo learning_rate=0.001"
    "score",  # NaN for a run that failed or has no value
)


def require_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raises InputError for a column that a table lacks."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"the table lacks {', '.join(missing)}; it needs the columns {', '.join(columns)}")


def run_key(table: pd.DataFrame) -> list[str]:
    """The columns that identify a run: `run`, and `study` if the table has it."""
    return ["study", "run"] if "study" in table.columns else ["run"]


def run_index(table: pd.DataFrame) -> pd.Index:
    """The table's runs as an index, equal to that of a grouping by `run_key`."""
    key = run_key(table)
    return pd.MultiIndex.from_frame(table[key]) if len(key) > 1 else pd.Index(table["run"])


def require_scores(table: pd.DataFrame, *more: str) -> None:
    """Raises InputError unless the table is a score table that has the columns `more` too."""
    require_columns(table, (*SCORE_COLUMNS, *more))
    if table.empty:
        raise InputError("a score table needs at least one run, but this one is empty")
    for name in ("run", "environment", "setting"):
        if table[name].isna().any():
            raise InputError(f"column {name!r} has no value in row {table.index[table[name].isna()][0]}")
    require_one_row_per_run(table)
    sample(table["score"].to_numpy())


def require_one_row_per_run(table: pd.DataFrame) -> None:
    """Raises InputError for a run with more than one row, as in a table of episodes."""
    repeated = table.duplicated(run_key(table), keep=False)
    if repeated.any():
        run = table.loc[repeated, "run"].iloc[0]
        raise InputError(
            f"column 'run' holds {run} more than once, but a table has one row per run: average a run's "
            "episodes first, and give the tables of several studies a column 'study'"
        )


def sample(scores: npt.ArrayLike | pd.Series) -> np.ndarray:
    """Scores of runs as float64 [runs], NaN for a failed run.

    Raises InputError for another shape, an infinite score, or a Series whose index has a run twice.
    """
    if isinstance(scores, pd.Series) and not scores.index.is_unique:
        run = scores.index[scores.index.duplicated()][0]
        raise InputError(f"run {run} has more than one score: average a run's episodes first")
    try:
        values = np.asarray(scores, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"scores must be numbers, got {scores!r}") from None
    if values.ndim != 1:
        raise InputError(f"scores must be one number per run, [runs], got the shape {values.shape}")
    if np.isinf(values).any():
        raise InputError("scores must be finite, or NaN for a failed run, got an infinite one")
    return values


def any_failed(*samples: np.ndarray) -> bool:
    """Whether a run of any sample failed. If so, means cannot rank the samples."""
    return any(bool(np.isnan(scores).any()) for scores in samples)


def scores_or_ranks(*samples: np.ndarray) -> list[np.ndarray]:
    """The samples in the form whose means rank settings: [runs] each.

    They are the scores if no run failed. Otherwise they are relative ranks in (0, 1): the share of all runs,
    itself included, that score below the run, where a tie counts one half and failed runs tie below every
    finite score. The mean rank of a sample is the probability that one of its runs beats one drawn from all.
    """
    if not any_failed(*samples):
        return list(samples)
    pooled = np.concatenate(samples)
    ranks = stats.rankdata(np.where(np.isnan(pooled), -np.inf, pooled))
    ends = np.cumsum([len(scores) for scores in samples])[:-1]
    return np.split((ranks - 0.5) / len(pooled), ends)


def by_setting(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Environment, setting and rows of each setting of a score table, in order of appearance."""
    for (environment, setting), rows in table.groupby(["environment", "setting"], sort=False):
        yield str(environment), str(setting), rows


def counts(table: pd.DataFrame) -> dict[str, int]:
    """The columns `runs` and `failed`: the number of runs, and the number of those without a finite score."""
    return {"runs": len(table), "failed": int(table["score"].isna().sum())}
