"""`jaxrl compare`: every pair of settings of one study or several, printed and written as tables."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jaxrl.analysis.scores import PathLike, join, kept_apart, read, score_table
from jaxrl.errors import InputError, unknown
from jaxrl.statistics import Interval, compare_all, describe
from jaxrl.statistics.intervals import RESAMPLING_SEED
from jaxrl.store.results import Results
from jaxrl.store.tables import write_text
from jaxrl.text import bounds, number, percent

DEFAULT_EFFECT = 0.5  # standard deviations between the runs of a setting: what Cohen (1988) calls medium
TESTS = {
    "p_welch": "Welch",
    "p_permutation": "permutation",
    "p_mann_whitney": "Mann-Whitney",
    "p_holm": "Holm",
    "p_equivalence": "equivalence",
}
NARROW = {"permutation": "permu-\ntation", "Mann-Whitney": "Mann-\nWhitney", "equivalence": "equi-\nvalence"}


class Comparisons(NamedTuple):
    settings: pd.DataFrame  # one row a setting of each environment, as jaxrl.statistics.describe gives it
    pairs: pd.DataFrame  # one row a pair, a against b, as jaxrl.statistics.compare_all gives it
    files: list[Path]  # what was written


def compare(
    folders: PathLike | Sequence[PathLike],
    metric: str = "eval_return",
    smallest_effect: float | Mapping[str, float] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Comparisons:
    """Compares all settings of some results folders, and writes compare.csv, compare.md and compare.tex.

    metric: what a run scores, as in `jaxrl.scoring.score_table`; greater is better. smallest_effect: the
    least difference of means that matters, one for all or one of each environment, by its name or its label
    (`CartPole-v1 pole_length=0.5`); by default half the standard deviation between the runs of a setting.
    out: a folder for the files, by default the first of the folders. A setting that several folders hold is
    taken for several. Raises InputError for folders of different environments or budgets, a single setting, a
    setting of one run, or an unknown metric.
    """
    studies = read([folders] if isinstance(folders, str | os.PathLike) else folders)
    table = kept_apart(score_table(studies, metric))
    _require_comparable(studies, table)
    effects = _default_effects(table) if smallest_effect is None else smallest_effect
    if isinstance(effects, Mapping):
        runs, _ = join(studies)
        effects = _by_label(effects, dict(zip(table["environment"], runs["environment"], strict=True)))
    rng = np.random.default_rng(RESAMPLING_SEED)
    pairs = compare_all(table, rng, effects)
    return Comparisons(describe(table, rng), pairs, _write(pairs, Path(out or studies[0].path)))


def displayed(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs as text: the effects with their intervals, then the tests, then what follows from them."""
    shown: dict[str, Any] = {name: pairs[name] for name in ("environment", "a", "b")}
    shown["a - b [95 %]"] = _estimates(pairs, "difference", _estimate)
    shown["P(a beats b) [95 %]"] = _estimates(pairs, "improvement", percent)
    shown |= {name: pairs[column].map(_p_value) for column, name in TESTS.items()}
    shown["verdict"] = pairs["verdict"]
    shown["runs needed"] = pairs["runs_needed"].map(lambda runs: "-" if np.isnan(runs) else f"{runs:,.0f}")
    return pd.DataFrame(shown)


def show(comparisons: Comparisons) -> None:
    """Prints per environment a table of its settings, numbered, and one of their pairs."""
    console = Console(width=200)  # a table takes what it needs; a row that is cut would say nothing
    text = displayed(comparisons.pairs)
    for environment, settings in comparisons.settings.groupby("environment", sort=False):
        table = Table("", escape(str(environment)), "runs", "mean [95 %]", box=None)
        means = _estimates(settings, "mean", _estimate)
        for place, (mean, row) in enumerate(zip(means, settings.to_dict("records"), strict=True), start=1):
            runs = f"{row['runs']}, {row['failed']} failed" if row["failed"] else str(row["runs"])
            table.add_row(str(place), escape(row["setting"]), runs, escape(mean))
        console.print(table, "")
        places = {setting: str(place) for place, setting in enumerate(settings["setting"], start=1)}
        here = comparisons.pairs["environment"] == environment
        headers = [
            NARROW.get(name, name.replace(" [", "\n[").replace("runs ", "runs\n")) for name in text.columns
        ]
        table = Table("a", "b", *map(escape, headers[3:]), box=None)
        for _, a, b, *cells in text[here].itertuples(index=False):
            table.add_row(places[a], places[b], *map(escape, cells))
        console.print(table, "")
        effect = comparisons.pairs.loc[here, "smallest_effect"].iloc[0]
        print(f"smallest effect that matters: {number(effect)}\n")
    if comparisons.settings["failed"].any():
        print("a failed run ranks below all others: its pairs are tested and decided by ranks, and are never")
        print("equivalent; means and differences are those of the other runs\n")
    print("a verdict needs the interval and a p-value: Holm's, the permutation test's corrected for all")
    print("pairs, or that of equivalence; runs needed are those of each setting for 80 % power\n")
    print(f"written: {', '.join(map(str, comparisons.files))}")


def _require_comparable(studies: Sequence[Results], table: pd.DataFrame) -> None:
    first = studies[0]
    environments = table.groupby("study")["environment"].unique().map(lambda names: ", ".join(sorted(names)))
    for other in studies[1:]:
        ours, theirs = (_budget(study.manifest["study"]) for study in (first, other))
        if ours != theirs:
            raise InputError(
                f"the budgets differ: {first.path} has {ours:,} steps, but {other.path} has {theirs:,}"
            )
        ours, theirs = (environments[str(study.path)] for study in (first, other))
        if ours != theirs:
            raise InputError(
                f"the environments differ: {first.path} has {ours}, but {other.path} has {theirs}"
            )
    sizes = table.groupby(["environment", "setting"], sort=False).size()
    if (sizes.groupby("environment").size() < 2).all():
        raise InputError(
            f"there is nothing to compare: {first.path} holds a single setting, {table['setting'].iloc[0]}; "
            "add a folder, or train several settings"
        )
    if (sizes < 2).any():
        environment, setting = sizes[sizes < 2].index[0]
        raise InputError(
            f"a comparison needs at least 2 runs of each setting, {setting} in {environment} has 1"
        )


def _budget(spec: Mapping[str, Any]) -> int:
    return int([spec["steps"], *spec["more_steps"]][-1])  # with its extensions


def _by_label(effects: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """The effect of each environment's label, given by that or by its name. names: by label.

    Raises InputError for an effect of another environment, or a label without one.
    """
    for name in effects:
        if name not in (*names, *names.values()):
            raise unknown("environment", name, {*names, *names.values()})
    for label, name in names.items():
        if not {label, name} & {*effects}:
            raise InputError(f"smallest_effect has no value for {label}: give one of each environment")
    return {label: effects[label if label in effects else name] for label, name in names.items()}


def _default_effects(table: pd.DataFrame) -> dict[str, float]:
    """DEFAULT_EFFECT standard deviations of a setting's runs, of each environment; tiny without spread."""
    variances = table.groupby(["environment", "setting"])["score"].var()
    pooled = DEFAULT_EFFECT * variances.groupby("environment").mean() ** 0.5
    return {str(name): float(effect) for name, effect in pooled.fillna(0).clip(lower=1e-9).items()}


def _write(pairs: pd.DataFrame, folder: Path) -> list[Path]:
    """The numbers as CSV, what is displayed as Markdown and as LaTeX (for the package booktabs)."""
    shown = displayed(pairs)
    texts = {
        "csv": pairs.to_csv(index=False),
        "md": _markdown(shown),
        "tex": shown.to_latex(index=False, escape=True),
    }
    files = [folder / f"compare.{kind}" for kind in texts]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in zip(files, texts.values(), strict=True):
            write_text(file, text)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from None
    return files


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def _estimates(table: pd.DataFrame, name: str, text: Callable[[Interval], str]) -> list[str]:
    columns = table[[name, f"{name}_low", f"{name}_high"]].to_numpy()
    return [text(Interval(*row)) for row in columns]


def _estimate(value: Interval) -> str:
    return f"{number(value.estimate)} {bounds(value.low, value.high)}"


def _p_value(p: float) -> str:
    return "-" if np.isnan(p) else f"{p:.2g}"
