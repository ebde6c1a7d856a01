"""What every statistic starts from: one score a run, and what a failed run counts."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from jaxrl.errors import InputError

COLUMNS = ("run", "environment", "setting", "score")


def require_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raises InputError for a column that a table lacks."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"the table lacks {', '.join(missing)}; it needs the columns {', '.join(columns)}")


def run_key(table: pd.DataFrame) -> list[str]:
    """The columns that tell runs apart: run, and study where tables of several studies are joined."""
    return ["study", "run"] if "study" in table.columns else ["run"]


def run_index(table: pd.DataFrame) -> pd.Index:
    """The table's runs as an index, as grouping by `run_key` makes it."""
    key = run_key(table)
    return pd.MultiIndex.from_frame(table[key]) if len(key) > 1 else pd.Index(table["run"])


def require_scores(table: pd.DataFrame, *more: str) -> None:
    """Raises InputError unless the table has one row a run, with its environment, setting and score.

    more: further columns that it needs. Episodes passed as runs are found by their run's number.
    """
    require_columns(table, (*COLUMNS, *more))
    if table.empty:
        raise InputError("a score table needs at least one run, this one is empty")
    for name in ("run", "environment", "setting"):
        if table[name].isna().any():
            raise InputError(f"column {name!r} has no value in row {table.index[table[name].isna()][0]}")
    require_one_row_a_run(table)
    sample(table["score"].to_numpy())


def require_one_row_a_run(table: pd.DataFrame) -> None:
    """Raises InputError for a run with more than one row."""
    twice = table.duplicated(run_key(table), keep=False)
    if twice.any():
        run = table.loc[twice, "run"].iloc[0]
        raise InputError(
            f"column 'run' holds {run} more than once: a table has one row a run, so average a run's "
            "episodes first, and tell the runs of joined studies apart by a column 'study'"
        )


def sample(scores: npt.ArrayLike | pd.Series) -> np.ndarray:
    """Scores of runs as float64 [runs], NaN for a failed run.

    Raises InputError for another shape, a run twice in the index of a Series, or an infinite score.
    """
    if isinstance(scores, pd.Series) and not scores.index.is_unique:
        run = scores.index[scores.index.duplicated()][0]
        raise InputError(f"run {run} has more than one score: average a run's episodes first")
    try:
        values = np.asarray(scores, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"scores must be numbers, got {scores!r}") from None
    if values.ndim != 1:
        raise InputError(f"scores must be one number a run, [runs], got the shape {values.shape}")
    if np.isinf(values).any():
        raise InputError("scores must be finite, or NaN for a failed run, got an infinite one")
    return values


def any_failed(*samples: np.ndarray) -> bool:
    """Whether a run of any sample failed, so that means cannot compare them."""
    return any(bool(np.isnan(scores).any()) for scores in samples)


def comparable(*samples: np.ndarray) -> list[np.ndarray]:
    """The samples by whose means settings may be ranked: the scores or, where a run failed, all runs' ranks.

    A rank is the share of all runs that score below, ties half; a failed run is below every finite one. So
    its mean is the probability that a run of the sample beats one of all.
    """
    if not any_failed(*samples):
        return list(samples)
    together = np.concatenate(samples)
    ranks = stats.rankdata(np.where(np.isnan(together), -np.inf, together))
    ends = np.cumsum([len(scores) for scores in samples])[:-1]
    return np.split((ranks - 0.5) / len(together), ends)


def settings(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Environment, setting and rows of each setting of a score table, in order of appearance."""
    for (environment, setting), rows in table.groupby(["environment", "setting"], sort=False):
        yield str(environment), str(setting), rows


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many runs there are, and how many of them failed."""
    return {"runs": len(table), "failed": int(table["score"].isna().sum())}
