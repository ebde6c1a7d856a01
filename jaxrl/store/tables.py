"""The tables of a results folder: making, writing and reading them."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError

from jaxrl import registry
from jaxrl.errors import InputError
from jaxrl.fields import shown
from jaxrl.study.study import Run, Study


def runs_table(study: Study, failed: Mapping[int, tuple[int, str]] | None = None) -> pd.DataFrame:
    """The table of runs, one row per run. Tuples are written as in `--set`.

    `failed` maps a failed run to the iteration and the metric; the status is "running" while it is None.
    """
    failures = failed or {}
    settings = {run.setting: run for run in study.runs()}
    described = {setting: _setting_columns(run) for setting, run in settings.items()}
    rows = [
        {
            "run": run.id,
            "setting": run.setting,
            "seed": run.seed,
            "status": "running" if failed is None else "failed" if run.id in failures else "complete",
            "failed_iteration": failures.get(run.id, (None, None))[0],
            "failed_metric": failures.get(run.id, (None, None))[1],
            "steps": study.steps_of(run.algorithm),
            **described[run.setting],
        }
        for run in study.runs()
    ]
    table = pd.DataFrame(rows).astype({"failed_iteration": "Int64", "failed_metric": "string"})
    for name in [name for name, dtype in table.dtypes.items() if dtype.kind == "O"]:
        kinds = set(table[name].dropna().map(type))
        if len(kinds) > 1 or tuple in kinds:  # a column has one type, so a mixed one becomes text
            table[name] = table[name].dropna().map(shown)
    return table


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
    with appearing_whole(path) as temporary:
        table.to_parquet(temporary, index=False)


def write_text(path: Path, text: str) -> None:
    """Writes a text, whole or not at all."""
    with appearing_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_table(path: Path, expected: str | None = None) -> pd.DataFrame:
    """Reads a table whose file has the `expected` hash. Raises InputError without a remedy."""
    with reading(path, expected):
        return pd.read_parquet(path)


@contextlib.contextmanager
def reading(path: Path, expected: str | None = None) -> Iterator[None]:
    """Turns the errors of reading a file in the block into InputErrors without a remedy.

    Raises InputError at once if the file has another hash than the `expected` one.
    """
    try:
        if expected is not None and file_hash(path) != expected:
            raise InputError(f"{path} was altered or cut short: its hash is not the recorded one")
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, SafetensorError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it was altered or cut short, or is of another kind"
        raise InputError(f"{path} cannot be read: {why}") from None


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """A new temporary path that replaces `path` at the end of the block, and is removed if the block fails.

    Even after a power cut, `path` is the old file or the whole new one. If several processes write it at
    once, it is the file of the last one.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(path.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    """Waits until a file or folder is on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
