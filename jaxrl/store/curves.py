"""The tables of a results folder: the curves while a study is trained, and the final tables."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrl.errors import InputError
from jaxrl.store.checkpoints import Checkpoints
from jaxrl.store.files import subfolder
from jaxrl.store.manifest import CURVES_FILE, RUNS_FILE, TABLES, runs_in
from jaxrl.store.tables import curves_table, read_curves, read_part, read_runs, write_table
from jaxrl.study.batch import Batch


@dataclasses.dataclass(frozen=True)
class Curves(Checkpoints):
    """The tables in a results folder. Raises InputError where a file cannot be read or written."""

    # The values that this process has recorded, by batch and step.
    _recorded: dict[int, dict[int, Mapping[str, np.ndarray]]] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )

    def table(self, name: str, manifest: Mapping[str, Any]) -> pd.DataFrame:
        """One of the tables. Raises InputError with the remedy if it is lost, damaged or has another hash.

        The hash is that of the manifest, if the manifest has one.
        """
        read = read_runs if name == RUNS_FILE else read_curves
        try:
            return read(self.path / name, manifest.get("sha256", {}).get(name), runs_in(manifest))
        except InputError as error:
            raise InputError(f"{error}; {TABLES[name].format(path=shlex.quote(str(self.path)))}") from None

    def record(self, batch: Batch, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Writes the values of all metrics ([lanes] each) after `step` environment steps."""
        with self._using("written"):
            self._recorded.setdefault(batch.index, {})[step] = values
            self._write_part(batch, step)

    def forget_curves(self) -> None:
        """Removes all curves, so that they are written anew."""
        with self._using("written"):
            (self.path / CURVES_FILE).unlink(missing_ok=True)
            for part in (self.path / "parts").glob("*.parquet"):
                part.unlink()

    def curves(self, manifest: Mapping[str, Any], batches: Sequence[Batch]) -> list[pd.DataFrame]:
        """The curves up to the saved state of each batch, the newest last.

        Raises InputError if a part of a batch's curves is missing or cannot be read.
        """
        with self._using("read"):
            extended = (self.path / CURVES_FILE).exists()
        tables = [self.table(CURVES_FILE, manifest)] if extended else []
        known = {pair for table in tables for pair in zip(table["run"], table["step"], strict=True)}
        for batch in batches:
            progress = self.progress(batch)
            reached = -1 if progress is None else progress.iteration
            for chunk in batch.chunks:
                step = chunk.stop * batch.steps_per_iteration
                if chunk.stop > reached:
                    break
                if step in (recorded := self._recorded.get(batch.index, {})):
                    tables.append(curves_table(batch, step, recorded[step]))
                elif (part := self._part(batch, step)).exists():
                    try:
                        tables.append(read_part(part))
                    except InputError as error:
                        raise self._damaged(batch, str(error)) from None
                elif (batch.runs[0].id, step) not in known:
                    raise self._damaged(batch, f"its curves at step {step} are missing")
        return tables

    def _write_part(self, batch: Batch, step: int) -> None:
        subfolder(self.path, "parts")
        write_table(self._part(batch, step), curves_table(batch, step, self._recorded[batch.index][step]))

    def _write_lost_parts(self, batch: Batch) -> None:
        """Writes the parts again that this process has recorded and somebody has deleted."""
        for step in self._recorded.get(batch.index, ()):
            if not self._part(batch, step).exists():
                self._write_part(batch, step)

    def _part(self, batch: Batch, step: int) -> Path:
        return self.path / "parts" / f"{batch.index:05d}-{step:015d}.parquet"
