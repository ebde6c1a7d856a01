"""Results as text: what `jaxrl compare` and `jaxrl select` print."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrl.statistics import Interval
from jaxrl.text import estimate, number, percent, print_table, with_failed

WIDTH = 200  # characters of a printed line, so that no cell is cut off
SHOWN = 10  # settings of an algorithm that `print_selection` prints
TESTS = {
    "p_welch": "Welch",
    "p_permutation": "permutation",
    "p_mann_whitney": "Mann-Whitney",
    "p_holm": "Holm",
    "p_equivalence": "equivalence",
}
# Headers whose single line would be wider than the cells below.
TWO_LINES = {
    "a - b [95 %]": "a - b\n[95 %]",
    "P(a beats b) [95 %]": "P(a beats b)\n[95 %]",
    "permutation": "permu-\ntation",
    "Mann-Whitney": "Mann-\nWhitney",
    "equivalence": "equi-\nvalence",
    "runs needed": "runs\nneeded",
}


def pairs_as_text(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `jaxrl.statistics.compare_all` as text: effects first, then p-values, then the verdict."""
    shown: dict[str, Any] = {name: pairs[name] for name in ("environment", "a", "b")}
    shown["a - b [95 %]"] = _intervals(pairs, "difference", estimate)
    shown["P(a beats b) [95 %]"] = _intervals(pairs, "improvement", percent)
    shown |= {name: pairs[column].map(_p_value) for column, name in TESTS.items()}
    shown["verdict"] = pairs["verdict"]
    shown["runs needed"] = pairs["runs_needed"].map(lambda runs: "-" if np.isnan(runs) else f"{runs:,.0f}")
    return pd.DataFrame(shown)


def print_comparisons(settings: pd.DataFrame, pairs: pd.DataFrame, files: Iterable[Path]) -> None:
    """Prints two tables per environment: its numbered settings, and its pairs of settings.

    settings, pairs, files: the fields of `jaxrl.analysis.compare.Comparisons`.
    """
    text = pairs_as_text(pairs)
    headers = ("a", "b", *(TWO_LINES.get(name, name) for name in text.columns[3:]))
    for environment, rows in settings.groupby("environment", sort=False):
        numbers = {setting: str(place) for place, setting in enumerate(rows["setting"], start=1)}
        counts = map(with_failed, rows["runs"], rows["failed"])
        cells = zip(
            numbers.values(), rows["setting"], counts, _intervals(rows, "mean", estimate), strict=True
        )
        print_table(("", str(environment), "runs", "mean [95 %]"), cells, WIDTH)
        here = pairs["environment"] == environment
        pairs_here = text[here].drop(columns="environment").itertuples(index=False)
        print_table(headers, ((numbers[a], numbers[b], *rest) for a, b, *rest in pairs_here), WIDTH)
        print(f"smallest effect that matters: {number(pairs.loc[here, 'smallest_effect'].iloc[0])}\n")
    if settings["failed"].any():
        print(
            "A failed run ranks below all other runs. Pairs with a failed run are compared by ranks and are\n"
            "never equivalent. Means and differences are over the runs that did not fail.\n"
        )
    print(
        "A verdict needs an interval and a p-value. Better and worse need Holm's p-value, which corrects\n"
        "that of the permutation test for the number of pairs. Equivalent needs the p-value of the\n"
        "equivalence test. Runs needed are per setting, for 80 % power.\n"
    )
    print(f"written: {', '.join(map(str, files))}")


def print_selection(ranking: pd.DataFrame) -> None:
    """Prints one table per environment and algorithm, with its settings from the best on, at most SHOWN.

    ranking: the table of `jaxrl.analysis.select.select`.
    """
    columns = ("selection score", "P(best)", "optimism up to", "fresh score [95 %]", "fresh runs")
    for (environment, _), settings in ranking.groupby(["environment", "algorithm"], sort=False):
        best = settings.head(SHOWN).to_dict("records")
        print_table((str(environment), *columns), map(_ranked, best), WIDTH)
        if len(settings) > SHOWN:
            print(f"and {len(settings) - SHOWN} more settings\n")
    if ranking["failed"].any():
        print(
            "A failed run ranks below all other runs. Where a run failed, settings are selected by ranks.\n"
            "Scores are means over the runs that did not fail.\n"
        )
    print(f"fresh runs: {', '.join(ranking['fresh_folder'].dropna().unique())}")


def _ranked(row: dict[Any, Any]) -> Sequence[str]:
    """The cells of a setting in `print_selection`. Only a chosen setting has a fresh score."""
    score = with_failed(number(row["mean"]), row["failed"])
    cells = [row["setting"], score, f"{100 * row['probability_best']:.3g} %"]
    if np.isnan(row["fresh_runs"]):
        return cells
    runs = with_failed(int(row["fresh_runs"]), int(row["fresh_failed"]))
    return [*cells, number(row["optimism"]), estimate(Interval.of(row, "fresh")), runs]


def _intervals(table: pd.DataFrame, name: str, text: Callable[[Interval], str]) -> list[str]:
    return [text(Interval.of(row, name)) for row in table.to_dict("records")]


def _p_value(p: float) -> str:
    return "-" if np.isnan(p) else f"{p:.2g}"
