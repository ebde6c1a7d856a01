"""The tables of a results folder: making, writing, reading and checking them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from jaxrl import registry
from jaxrl.columns import CURVE_COLUMNS, RUN_COLUMNS, Column
from jaxrl.errors import InputError, printable
from jaxrl.fields import shown
from jaxrl.store.files import appearing_whole, reading
from jaxrl.study.batch import Batch
from jaxrl.study.study import Run, Study

# The kinds of columns in files. The further columns of the table of runs are also of one of these kinds.
COLUMN_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "integer": pa.types.is_integer,
    "number": lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind),
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "truth value": pa.types.is_boolean,
}
# The types of the columns of curves in memory. There are few different metrics, hence the dictionary.
CURVES_SCHEMA = pa.schema(
    {
        "run": pa.int32(),
        "step": pa.int64(),
        "metric": pa.dictionary(pa.int32(), pa.string()),
        "value": pa.float64(),
    }
)
CELL = 16  # bytes of a value in memory, beside the bytes that a file declares


def runs_table(study: Study, failed: Mapping[int, tuple[int, str]] | None = None) -> pd.DataFrame:
    """The table of runs, one row per run. Tuples are written as in `--set`, control characters escaped.

    `failed` maps a failed run to the iteration and the metric; the status is "running" while it is None.
    """
    runs = study.runs()
    settings = _settings_table(study, {run.setting: run for run in runs})
    ids = pd.RangeIndex(len(runs))  # a run's id is its index
    failures = pd.DataFrame(
        [*(failed or {}).values()], index=[*(failed or {})], columns=["failed_iteration", "failed_metric"]
    )
    others = "running" if failed is None else "complete"
    table = pd.DataFrame(
        {
            "run": ids,
            "setting": [run.setting for run in runs],
            "seed": [run.seed for run in runs],
            "status": np.where(ids.isin(failures.index), "failed", others),
            "failed_iteration": failures["failed_iteration"].astype("Int64").reindex(ids),
            "failed_metric": failures["failed_metric"].map(printable).astype("string").reindex(ids),
        }
    )
    columns = settings.loc[table["setting"]].reset_index(drop=True)
    return pd.concat([table, columns], axis="columns")


def _settings_table(study: Study, settings: Mapping[int, Run]) -> pd.DataFrame:
    """The columns that are the same for all runs of a setting. settings: number -> a run of the setting."""
    rows = [{"steps": study.steps_of(run.algorithm), **_setting_columns(run)} for run in settings.values()]
    table = pd.DataFrame(rows, index=[*settings])
    for name in [name for name, dtype in table.dtypes.items() if dtype.kind == "O"]:
        kinds = set(table[name].dropna().map(type))
        if len(kinds) > 1 or tuple in kinds:  # a column has one type, so a mixed one becomes text
            table[name] = table[name].dropna().map(shown)
        if kinds - {bool}:
            table[name] = table[name].dropna().map(printable)
    return table


def curves_table(batch: Batch, values: Mapping[int, Mapping[str, np.ndarray]]) -> pa.Table:
    """The rows of curves that hold metrics of a batch: step -> name -> [lanes]."""
    runs = [run.id for run in batch.runs]
    curves = [(step, printable(name), lanes) for step in values for name, lanes in values[step].items()]
    steps, names, lanes = zip(*curves, strict=True)
    words = list(dict.fromkeys(names))
    metric = np.repeat([words.index(name) for name in names], len(runs)).astype(np.int32)
    columns = [
        np.tile(np.array(runs, np.int32), len(curves)),
        np.repeat(np.array(steps, np.int64), len(runs)),
        pa.DictionaryArray.from_arrays(metric, pa.array(words, pa.string())),
        pa.array(np.concatenate([each[: len(runs)] for each in lanes]), pa.float64(), from_pandas=True),
    ]
    return pa.table(columns, CURVES_SCHEMA)


def joined_curves(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of CURVES_SCHEMA as one, in order of run, metric and step.

    Of several values of a run, a metric and a step, the one in the last table counts.
    """
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    metric = table["metric"].chunk(0)
    words = np.array(metric.dictionary.to_pylist(), object)
    # The bytes of the file shall not depend on the order of the tables.
    metric = pa.DictionaryArray.from_arrays(
        np.argsort(np.argsort(words)).astype(np.int32)[metric.indices.to_numpy()], pa.array(np.sort(words))
    )
    table = table.set_column(2, "metric", metric)
    keys = (table["step"].to_numpy(), metric.indices.to_numpy(), table["run"].to_numpy())
    order = np.lexsort(keys)  # it keeps the order of equal keys
    differs = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    return table.take(order[np.append(differs, True)])


def curves_hash(table: pa.Table) -> str:
    """A hash of the rows of a table of CURVES_SCHEMA, however a file or the memory holds them."""
    metric = table["metric"].to_pandas().cat.remove_unused_categories().cat
    names = sorted(metric.categories)  # a file may hold them in another order
    codes = metric.reorder_categories(names).cat.codes.to_numpy()
    digest = hashlib.sha256("\0".join(names).encode())
    for column in (table["run"].to_numpy(), table["step"].to_numpy(), codes, table["value"].to_numpy()):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def _setting_columns(run: Run) -> dict[str, Any]:
    """The columns that are the same for all runs of a setting."""
    solved = run.environment.solved_return
    return {
        "environment": registry.name_of(run.environment),
        "algorithm": registry.name_of(run.algorithm),
        "solved_return": np.nan if solved is None else float(solved),
        **registry.plain_parameters(run.algorithm),
        **{f"env.{name}": value for name, value in registry.plain_parameters(run.environment).items()},
    }


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table, whole or not at all."""
    with appearing_whole(path) as file:
        table.to_parquet(file, index=False)


def write_curves(path: Path, table: pa.Table) -> None:
    """Writes a table of CURVES_SCHEMA, whole or not at all. In the file the metric is a text."""
    with appearing_whole(path) as file:
        pq.write_table(table, file, store_schema=False)


def read_runs(path: Path, expected: str, count: int) -> pd.DataFrame:
    """Reads the table of `count` runs, whose file has the `expected` hash.

    Raises InputError, without a remedy, unless it is a table as `runs_table` makes it of a complete study.
    """
    table = _read(path, RUN_COLUMNS, expected).to_pandas()
    known = set(table["status"]) <= {"complete", "failed"}
    if not np.array_equal(table["run"], np.arange(count)) or not known or (table["steps"] < 1).any():
        raise InputError(f"{path} is damaged: it is no table of {count:,} runs that are complete or failed")
    return table.astype({"failed_iteration": "Int64", "failed_metric": "string"})


def read_curves(path: Path, expected: str | None, count: int) -> pd.DataFrame:
    """Reads a table of curves of `count` runs, whose file has the `expected` hash.

    Raises InputError, without a remedy, unless its rows are in order of run, metric and step, each once.
    """
    table = _read(path, CURVE_COLUMNS, expected).to_pandas()
    run, step = table["run"].to_numpy(), table["step"].to_numpy()
    metric, _ = pd.factorize(table["metric"], sort=True)
    if len(table) and not (run.min() >= 0 and run.max() < count and step.min() >= 0):
        raise InputError(f"{path} is damaged: it has a run or a step that the study does not have")
    later = np.zeros(max(len(table) - 1, 0), bool)
    for column in (step, metric, run):
        later = (column[1:] > column[:-1]) | ((column[1:] == column[:-1]) & later)
    if not later.all():
        raise InputError(f"{path} is damaged: its rows are not in order of run, metric and step")
    return table


def read_part(path: Path) -> pa.Table:
    """Reads a part of the table of curves, of CURVES_SCHEMA, with its rows in any order."""
    return as_curves(path, _read(path, CURVE_COLUMNS))


def as_curves(path: Path, table: pa.Table) -> pa.Table:
    """A table from a file as a table of CURVES_SCHEMA. Raises InputError if a number does not fit."""
    with reading(path):
        return table.select(CURVES_SCHEMA.names).cast(CURVES_SCHEMA)


def _read(path: Path, columns: Mapping[str, Column], expected: str | None = None) -> pa.Table:
    """Reads a Parquet file with these columns. Trusts nothing in it, since it may come from a stranger.

    Raises InputError for a column that is missing or has values of another kind, for control characters, and
    for a table that would take more than half of the free memory.
    """
    with reading(path, expected):
        with pq.ParquetFile(path) as file:
            schema, about = file.schema_arrow.remove_metadata(), file.metadata
        damage = _wrong_column(schema, columns)
        texts = [field.name for field in schema if COLUMN_KINDS["text"](field.type)]
        groups = (about.row_group(index) for index in range(about.num_row_groups))
        size = sum(group.total_byte_size for group in groups) + CELL * about.num_rows * about.num_columns
        if not damage and not (damage := _too_large(size)):
            # Each text once, since a small file can hold a long text a billion times. What the file says
            # about pandas is left out, since it could make any type of a column.
            with pq.ParquetFile(path, read_dictionary=texts) as file:
                table = file.read().replace_schema_metadata().unify_dictionaries()
            words = {name: _words(table[name]) for name in texts}
            longest = sum(max(map(len, each), default=0) for each in words.values())
            damage = _wrong_value(table, columns, words) or _too_large(size + longest * about.num_rows)
        if damage:
            raise InputError(f"{path} cannot be read: {damage}")
        return table.cast(schema)


def _words(column: pa.ChunkedArray) -> list[str]:
    """The different texts in a column of texts whose dictionaries are unified."""
    words = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    return [word for word in words if word is not None]


def _too_large(size: int) -> str:
    """A sentence if so many bytes are more than half of the free memory; else ""."""
    if size <= psutil.virtual_memory().available // 2:
        return ""
    return f"it would take {size:,} bytes, more than half of the free memory"


def _wrong_column(schema: pa.Schema, columns: Mapping[str, Column]) -> str:
    """What is wrong with the names and types of a table's columns; "" if nothing is."""
    if len({*schema.names}) < len(schema.names):
        return "two of its columns have the same name"
    for name in schema.names:
        kinds = [columns[name].kind] if name in columns else [*COLUMN_KINDS]
        if not name.isprintable():
            return f"it has a column {name!r}"
        if not any(COLUMN_KINDS[kind](schema.field(name).type) for kind in kinds):
            return f"its column {name!r} is a {schema.field(name).type}"
    missing = [name for name in columns if name not in schema.names]
    return f"it lacks the column {missing[0]!r}" if missing else ""


def _wrong_value(table: pa.Table, columns: Mapping[str, Column], words: Mapping[str, list[str]]) -> str:
    """What is wrong with the values of a table whose columns are right; "" if nothing is.

    words: the different texts in each column of texts.
    """
    for name, (_, may_miss) in columns.items():
        if not may_miss and table[name].null_count:
            return f"a value of its column {name!r} is missing"
    for name, texts in words.items():
        for text in texts:
            if not text.isprintable():
                return f"its column {name!r} holds {text!r}"
    return ""
