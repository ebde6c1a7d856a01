"""Export of studies to the formats of other tools: `jaxrl export`.

rliable      rliable.npz: an array [runs, environments] of final scores for each setting, and the array
             `environments` of the names of its columns; loads without pickle
marl-eval    marl-eval.json: environment -> task -> setting -> run -> step -> metric, as documented at
             github.com/instadeepai/marl-eval; `absolute_metrics` are those of the last evaluation
npz          transitions.npz: successive transitions of one run's final policy; loads without pickle
tensorboard  a folder of event files
wandb        a folder of offline runs of Weights & Biases
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrl.analysis.scores import PathLike, join, kept_apart, read, score_table
from jaxrl.analysis.sinks import SINKS, Sink
from jaxrl.errors import InputError, unknown
from jaxrl.statistics import label_settings
from jaxrl.store.files import appearing_whole, write_text
from jaxrl.store.results import Results, load, load_so_far
from jaxrl.store.working_copy import output

FILES = {"rliable": "rliable.npz", "marl-eval": "marl-eval.json"} | {name: name for name in SINKS}
# Names for marl-eval, which finds the metrics to normalise by itself only if their names have no underscore.
MARL_EVAL_METRICS = {"return": "eval_return", "length": "eval_length"}


def export(
    folders: PathLike | Sequence[PathLike], to: str, out: str | os.PathLike[str] | None = None
) -> Path:
    """Writes the studies of some results folders in the format of another tool. Returns the written path.

    to: "rliable", "marl-eval", "tensorboard" or "wandb". out: a file for the first two, which is overwritten,
    and a new folder for the other two; by default it is in the first of the folders. A setting that several
    folders hold is exported as several settings, with the folder in their names. The last two formats also
    take an unfinished study, with the curves that were saved so far.

    Raises InputError for an unknown format, runs that do not fit it (see `rliable_scores` and
    `marl_eval_tree`), a package that is not installed, or a path that cannot be written.
    """
    if to not in FILES:
        raise unknown("format", to, FILES)
    listed = [folders] if isinstance(folders, str | os.PathLike) else folders
    studies = read(listed, load_so_far if to in SINKS else load)
    path = output(out, studies[0].path, FILES[to])
    try:
        if to in SINKS:
            if os.path.lexists(path):  # also a link to nothing
                raise InputError(f"{path} exists already: remove it or choose another folder")
            _stream(studies, SINKS[to](path, False))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            (_write_rliable if to == "rliable" else _write_marl_eval)(studies, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def export_transitions(
    folder: PathLike,
    run: int,
    steps: int,
    *,
    explore: bool = False,
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Writes `Results.transitions` of a run to an npz file. Returns its path.

    out: the file, which is overwritten; `transitions.npz` in the results folder by default. Raises InputError
    for an unknown run, fewer than one step, or a path that cannot be written.
    """
    results = load(folder)
    path = output(out, results.path, "transitions.npz")
    arrays = results.transitions(run, steps, explore=explore)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_arrays(arrays, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def rliable_scores(studies: Sequence[Results]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Final scores by setting, [runs, environments] with rows in order of seed, and the environments' labels.

    A failed run is NaN. Raises InputError unless each setting has the same number of runs in all
    environments.
    """
    table = kept_apart(score_table(studies, "eval_return"))
    environments = [str(name) for name in table["environment"].unique()]
    counts = _counts(table, "rliable")
    for setting in counts.index.unique("setting"):
        _require_equal("rliable", "runs", counts.xs(setting, level="setting", drop_level=False))
    by_seed = table.sort_values("seed", kind="stable")
    scores = {
        str(setting): np.stack(
            [runs.loc[runs["environment"] == name, "score"] for name in environments], axis=1
        )
        for setting, runs in by_seed.groupby("setting", sort=False)
    }
    return scores, environments


def marl_eval_tree(studies: Sequence[Results]) -> dict[str, Any]:
    """The studies as the nested dict of marl-eval: one environment "jaxrl", whose tasks are our environments.

    A value is a list of one number, the mean over the episodes of an evaluation. Raises InputError for a
    failed run, and unless all settings have the same number of runs and of evaluations in all environments.
    """
    table = kept_apart(score_table(studies, "eval_return"))
    _require_equal("marl-eval", "runs", _counts(table, "marl-eval"))
    for run in table[table["score"].isna()].to_dict("records"):
        raise InputError(
            f"marl-eval has no failed runs, but seed {run['seed']} of {run['setting']} in "
            f"{run['environment']} failed"
        )
    curves = _curves_by_run(studies)
    tree: dict[str, Any] = {}
    for run in table.sort_values("seed", kind="stable").to_dict("records"):
        task = tree.setdefault(run["environment"].lower(), {})
        runs = task.setdefault(run["setting"], {})
        runs[f"run_{len(runs) + 1}"] = _marl_eval_run(curves[run["study"], run["run"]])
    evaluations = {
        (setting, task): len(runs["run_1"]) - 1
        for task, settings in tree.items()
        for setting, runs in settings.items()
    }
    _require_equal("marl-eval", "evaluations", pd.Series(evaluations))
    return {"jaxrl": tree}


def _marl_eval_run(curves: pd.DataFrame) -> dict[str, Any]:
    """The evaluations of a run by step, and the last of them as its absolute metrics. curves: by step."""
    table = curves[list(MARL_EVAL_METRICS.values())].dropna()
    values = [{name: [row[ours]] for name, ours in MARL_EVAL_METRICS.items()} for _, row in table.iterrows()]
    steps = {
        f"step_{i}": {"step_count": int(step), **metrics}
        for i, (step, metrics) in enumerate(zip(table.index, values, strict=True))
    }
    return {**steps, "absolute_metrics": values[-1]}


def _write_rliable(studies: Sequence[Results], path: Path) -> None:
    scores, environments = rliable_scores(studies)
    _write_arrays({"environments": np.array(environments)} | scores, path)


def _write_arrays(arrays: Mapping[str, Any], path: Path) -> None:
    with appearing_whole(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _write_marl_eval(studies: Sequence[Results], path: Path) -> None:
    write_text(path, json.dumps(marl_eval_tree(studies), allow_nan=False))


def _stream(studies: Sequence[Results], sink: Sink) -> None:
    """Writes each run of the studies to a sink."""
    fields, _ = join(studies)
    table, curves = kept_apart(label_settings(fields)), _curves_by_run(studies)
    for run, row in zip(table.to_dict("records"), fields.to_dict("records"), strict=True):
        parameters = {
            str(name): value.item() if isinstance(value, np.generic) else value
            for name, value in row.items()
            if name not in ("study", "run") and not pd.isna(value)
        }
        started = sink.start((run["environment"], run["setting"], f"seed-{run['seed']}"), parameters)
        values: Any = curves[run["study"], run["run"]].to_dict("index")
        for step in sorted(values):
            sink.write(started, step, values[step])
        sink.finish(started)
    sink.close()


def _curves_by_run(studies: Sequence[Results]) -> dict[tuple[str, int], pd.DataFrame]:
    """The curves by folder and run: indexed by step, one column per metric."""
    _, curves = join(studies)
    groups: Any = curves.groupby(["study", "run"])
    return {key: rows.pivot(index="step", columns="metric", values="value") for key, rows in groups}


def _counts(table: pd.DataFrame, to: str) -> pd.Series:
    """Number of runs by setting and environment. Raises InputError if a setting has none in one of them."""
    counts = table.groupby(["setting", "environment"], sort=False).size()
    for setting in table["setting"].unique():
        for environment in table["environment"].unique():
            if (setting, environment) not in counts.index:
                raise InputError(
                    f"{to} needs each setting in each environment: {setting} has no run in {environment}"
                )
    return counts


def _require_equal(to: str, what: str, counts: pd.Series) -> None:
    """Raises InputError unless all counts, indexed by setting and environment, are equal."""
    place: Any
    for place, count in counts.items():
        if count != counts.iloc[0]:
            first, other = (" in ".join(names) for names in (counts.index[0], place))
            raise InputError(
                f"{to} needs the same number of {what}: {first} has {counts.iloc[0]}, but {other} has {count}"
            )
