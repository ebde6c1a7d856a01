"""Results as text: what `jaxrl compare` and `jaxrl select` print."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxrl.statistics import Interval
from jaxrl.text import counted, estimate, number, percent, print_table, with_failed

WIDTH = 240  # characters of a printed line, so that no cell is cut off
SHOWN = 10  # settings of an algorithm that `print_selection` prints


class Column(NamedTuple):
    """A column of the printed and written comparisons, made of the columns of a row of `compare_all`."""

    heading: str
    narrow: str  # the heading on two lines, where one line would be wider than the cells below
    text: Callable[[Mapping[Any, Any]], str]


def _p_value(name: str) -> Callable[[Mapping[Any, Any]], str]:
    return lambda pair: "-" if np.isnan(pair[name]) else f"{pair[name]:.2g}"


def _runs_needed(pair: Mapping[Any, Any]) -> str:
    return "-" if np.isnan(pair["runs_needed"]) else f"{pair['runs_needed']:,.0f}"


# Effects first, then p-values, then the verdict.
COLUMNS = (
    Column("a - b [95 %]", "a - b\n[95 %]", lambda pair: estimate(Interval.of(pair, "difference"))),
    Column(
        "P(a beats b) [95 %]",
        "P(a beats b)\n[95 %]",
        lambda pair: percent(Interval.of(pair, "improvement")),
    ),
    Column("Welch", "Welch", _p_value("p_welch")),
    Column("permutation", "permu-\ntation", _p_value("p_permutation")),
    Column("Mann-Whitney", "Mann-\nWhitney", _p_value("p_mann_whitney")),
    Column("Holm", "Holm", _p_value("p_holm")),
    Column("equivalence", "equi-\nvalence", _p_value("p_equivalence")),
    Column("verdict", "verdict", lambda pair: str(pair["verdict"])),
    Column("runs needed", "runs\nneeded", _runs_needed),
)
REFERENCES = {  # what is said of b and of Holm's p-value
    "best": (
        "b is the best setting. The same runs chose it, which inflates its lead: `jaxrl select` scores it\n"
        "on fresh seeds. Any two settings could have become a pair, so Holm's p-value corrects that of the\n"
        "permutation test for all of them, {pairs}. --all-pairs shows them."
    ),
    "baseline": (
        "b is the baseline. Holm's p-value corrects that of the permutation test for the {pairs}\n"
        "tested, which is right if the baseline was chosen without regard to these runs."
    ),
    None: "Holm's p-value corrects that of the permutation test for the {pairs} tested.",
}


def pairs_as_text(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `jaxrl.statistics.compare_all` as text, with COLUMNS after environment, a and b."""
    rows = pairs.to_dict("records")
    cells = {column.heading: [column.text(row) for row in rows] for column in COLUMNS}
    return pairs[["environment", "a", "b"]].assign(**cells)


def print_comparisons(
    settings: pd.DataFrame, pairs: pd.DataFrame, files: Iterable[Path], reference: str | None
) -> None:
    """Prints the settings and the pairs of each environment.

    settings, pairs, files, reference: the fields of `jaxrl.analysis.compare.Comparisons`. With a reference,
    each setting has one line, the reference the first one. Without, the settings are numbered, and a second
    table has a line for each pair.
    """
    for environment, rows in settings.groupby("environment", sort=False):
        here = pairs[pairs["environment"] == environment]
        described = {
            row["setting"]: (
                row["setting"],
                with_failed(row["runs"], row["failed"]),
                estimate(Interval.of(row, "mean")),
            )
            for row in rows.to_dict("records")
        }
        headings = (str(environment), "runs", "mean [95 %]")
        (_print_pairs if reference is None else _print_against)(headings, described, here)
        print(f"smallest effect that matters: {number(here['smallest_effect'].iloc[0])}\n")
    if settings["failed"].any():
        print(
            "A failed run ranks below all other runs. Pairs with a failed run are compared by ranks and are\n"
            "never equivalent. Means and differences are over the runs that did not fail.\n"
        )
    tested = counted(int(pairs["tests"].iloc[0]), "pair")
    print(f"{REFERENCES[reference].format(pairs=tested)}\n")
    print(
        "A verdict is about a. It needs an interval and a p-value: better and worse need Holm's, equivalent\n"
        "needs that of the equivalence test. Runs needed are per setting, for 80 % power.\n"
    )
    print(f"written: {', '.join(map(str, files))}")


def _print_against(
    headings: Sequence[str], described: Mapping[str, Sequence[str]], pairs: pd.DataFrame
) -> None:
    """One table of settings, the reference (b) and then those that are compared with it (a)."""
    rows = pairs.to_dict("records")
    cells = [["b", *described[rows[0]["b"]]]]
    cells += [["a", *described[row["a"]], *(column.text(row) for column in COLUMNS)] for row in rows]
    print_table(("", *headings, *(column.narrow for column in COLUMNS)), cells, WIDTH)


def _print_pairs(
    headings: Sequence[str], described: Mapping[str, Sequence[str]], pairs: pd.DataFrame
) -> None:
    """A table of numbered settings, and one of pairs."""
    numbers = {setting: str(place) for place, setting in enumerate(described, start=1)}
    print_table(("", *headings), ([numbers[name], *cells] for name, cells in described.items()), WIDTH)
    rows = pairs.to_dict("records")
    cells = [[numbers[row["a"]], numbers[row["b"]], *(each.text(row) for each in COLUMNS)] for row in rows]
    print_table(("a", "b", *(column.narrow for column in COLUMNS)), cells, WIDTH)


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
