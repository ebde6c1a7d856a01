"""The score table of one or several results folders."""

import os
from collections.abc import Callable, Sequence

import pandas as pd

from jaxrl.errors import InputError, printable, unknown, with_urls
from jaxrl.statistics import area_scores, final_scores, training_scores
from jaxrl.store.files import is_url, located
from jaxrl.store.results import Results, load

PathLike = str | os.PathLike[str]


def read(folders: Sequence[PathLike], reader: Callable[[PathLike], Results] = load) -> list[Results]:
    """The results in some folders. Raises InputError for none, one given twice, or one without results."""
    if not folders:
        raise InputError("name at least one results folder")
    paths = [folder if is_url(folder) else located(folder).resolve() for folder in folders]
    for path, folder in zip(paths, folders, strict=True):
        if paths.count(path) > 1:
            raise InputError(f"{folder} was given twice")
    return [reader(folder) for folder in folders]


def join(studies: Sequence[Results]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs and the curves of all studies, with a column `study` that holds the results folder."""
    runs = [study.runs.assign(study=str(study.path)) for study in studies]
    curves = [study.curves.assign(study=str(study.path)) for study in studies]
    return pd.concat(runs, ignore_index=True), pd.concat(curves, ignore_index=True)


def score_table(studies: Sequence[Results], metric: str) -> pd.DataFrame:
    """The score table of all studies together: the runs of `join` with SCORE_COLUMNS.

    metric: what a run scores. "auc" is the area under the curve of evaluations divided by its steps.
    "training" is the mean return of training episodes, weighted by environment steps. Any recorded metric,
    such as "eval_return", stands for its last value. Greater scores are better. Raises InputError for an
    unknown metric, or one of which a setting has no value.
    """
    runs, curves = join(studies)
    if metric == "auc":
        table = area_scores(runs, curves)
    elif metric == "training":
        table = training_scores(runs, curves)
    elif metric in (known := curves["metric"].unique()):
        table = final_scores(runs, curves, metric)
    else:
        raise unknown("metric", metric, ["auc", "training", *known])
    for (environment, setting), rows in table.groupby(["environment", "setting"], sort=False):
        if rows["score"].isna().all() and (rows["status"] != "failed").any():
            raise InputError(f"{setting!r} in {environment} has no value of the metric {metric!r}")
    return table


def kept_apart(table: pd.DataFrame) -> pd.DataFrame:
    """The score table with settings of different studies kept apart.

    If two studies hold the same setting in the same environment, its label gets the folder of the study
    appended.
    """
    studies = table.groupby(["environment", "setting"])["study"].transform("nunique")
    shared = studies.groupby(table["setting"]).transform("max") > 1
    folders = table["study"].map(with_urls).map(printable)
    return table.assign(setting=table["setting"] + (" (" + folders + ")").where(shared, ""))
