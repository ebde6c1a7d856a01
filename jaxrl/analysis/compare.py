"""Comparison of the settings of one or several studies, written as tables: `jaxrl compare`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxrl.analysis.console import pairs_as_text
from jaxrl.analysis.scores import PathLike, join, kept_apart, read, score_table
from jaxrl.errors import InputError, unknown
from jaxrl.statistics import compare_all, compare_with_baseline, compare_with_best, describe
from jaxrl.statistics.intervals import RESAMPLING_SEED
from jaxrl.store.files import write_text
from jaxrl.store.results import Results
from jaxrl.store.working_copy import output

DEFAULT_EFFECT = 0.5  # standard deviations of the runs of a setting: a medium effect (Cohen 1988)


class Comparisons(NamedTuple):
    settings: pd.DataFrame  # the table of `jaxrl.statistics.describe`
    pairs: pd.DataFrame  # with the columns of `jaxrl.statistics.compare_all`
    files: list[Path]  # the written files
    reference: str | None  # what each setting is compared with: "best", "baseline" or, for all pairs, None


def compare(
    folders: PathLike | Sequence[PathLike],
    metric: str = "eval_return",
    smallest_effect: float | Mapping[str, float] | None = None,
    out: str | os.PathLike[str] | None = None,
    baseline: str | None = None,
    all_pairs: bool = False,
) -> Comparisons:
    """Compares the settings in some results folders, and writes compare.csv, compare.md and compare.tex.

    Each setting is compared with the best one in its environment, or with a baseline, or with all others.

    metric: what a run scores, as in `jaxrl.analysis.scores.score_table`; greater is better. smallest_effect:
    the smallest difference of means that matters, in the unit of the metric. It is one for all environments,
    or one for each by its name or its label (`CartPole-v1 pole_length=0.5`). By default it is half the
    standard deviation of the runs of a setting. out: a folder for the files, by default the first of the
    folders. baseline: the label of the setting that all others are compared with, such as
    `ppo learning_rate=0.001`. all_pairs: compares every two settings instead.

    The same setting in several folders counts as several settings. Raises InputError for folders with
    different environments or budgets, a single setting, a setting with one run, an unknown metric or
    baseline, a baseline together with all pairs, or a smallest effect that is not above 0, is missing, or is
    of an unknown environment.
    """
    if baseline is not None and all_pairs:
        raise InputError(f"give either a baseline or all pairs, got the baseline {baseline!r} and all pairs")
    studies = read([folders] if isinstance(folders, str | os.PathLike) else folders)
    table = kept_apart(score_table(studies, metric))
    _require_comparable(studies, table)
    effects = _default_effects(table) if smallest_effect is None else smallest_effect
    if isinstance(effects, Mapping):
        runs, _ = join(studies)
        effects = _by_label(effects, dict(zip(table["environment"], runs["environment"], strict=True)))
    rng = np.random.default_rng(RESAMPLING_SEED)
    if all_pairs:
        pairs, reference = compare_all(table, rng, effects), None
    elif baseline is None:
        pairs, reference = compare_with_best(table, rng, effects), "best"
    else:
        pairs, reference = compare_with_baseline(table, baseline, rng, effects), "baseline"
    described = describe(
        table, np.random.default_rng(RESAMPLING_SEED)
    )  # as `train` and the report describe it
    return Comparisons(described, pairs, _write(pairs, output(out, studies[0].path)), reference)


def _require_comparable(studies: Sequence[Results], table: pd.DataFrame) -> None:
    """Raises InputError unless the studies have the same budget and environments, and settings to compare."""
    first = studies[0]
    environments = table.groupby("study")["environment"].unique().map(lambda names: ", ".join(sorted(names)))
    described = {"budgets": _budget, "environments": lambda study: environments[str(study.path)]}
    for other in studies[1:]:
        for what, of in described.items():
            if of(first) != of(other):
                raise InputError(
                    f"the {what} differ: {first.path} has {of(first)}, but {other.path} has {of(other)}"
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
            f"a comparison needs at least 2 runs of each setting, but {setting} in {environment} has 1"
        )


def _budget(study: Results) -> str:
    """The budget of a study with its extensions: "100,000 steps"."""
    spec = study.manifest["study"]
    return f"{[spec['steps'], *spec['more_steps']][-1]:,} steps"


def _by_label(effects: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """The smallest effects by the label of the environment.

    effects: by label or by name; the label takes precedence. names: the name for each label. Raises
    InputError for an effect of an unknown environment, or for a label without an effect.
    """
    for name in effects:
        if name not in (*names, *names.values()):
            raise unknown("environment", name, {*names, *names.values()})
    for label, name in names.items():
        if not {label, name} & {*effects}:
            raise InputError(f"smallest_effect has no value for {label}: give one for each environment")
    return {label: effects[label if label in effects else name] for label, name in names.items()}


def _default_effects(table: pd.DataFrame) -> dict[str, float]:
    """DEFAULT_EFFECT pooled standard deviations within settings, by environment; at least 1e-9."""
    variances = table.groupby(["environment", "setting"])["score"].var()
    pooled = DEFAULT_EFFECT * variances.groupby("environment").mean() ** 0.5
    return {str(name): float(effect) for name, effect in pooled.fillna(0).clip(lower=1e-9).items()}


def _write(pairs: pd.DataFrame, folder: Path) -> list[Path]:
    """Writes the pairs as numbers to CSV, and as text to Markdown and to LaTeX, which needs booktabs."""
    text = pairs_as_text(pairs)
    contents = {
        "csv": pairs.to_csv(index=False),
        "md": _markdown(text),
        "tex": text.to_latex(index=False, escape=True),
    }
    files = [folder / f"compare.{suffix}" for suffix in contents]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in zip(files, contents.values(), strict=True):
            write_text(file, content)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from None
    return files


def _markdown(table: pd.DataFrame) -> str:
    """A table of texts in Markdown."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)
