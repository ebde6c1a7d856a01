"""The tables of a results folder: the curves while a study is trained, and the final tables."""

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from jaxrl.errors import InputError
from jaxrl.store.checkpoints import Checkpoints
from jaxrl.store.files import subfolder
from jaxrl.store.manifest import CURVES_FILE, RUNS_FILE, TABLES, runs_in
from jaxrl.store.tables import as_curves, curves_table, read_curves, read_part, read_runs, write_curves
from jaxrl.study.batch import Batch

Values = Mapping[int, Mapping[str, np.ndarray]]  # step -> metric -> [lanes]


@dataclasses.dataclass(frozen=True)
class Curves(Checkpoints):
    """The tables in a results folder. Raises InputError where a file cannot be read or written.

    While a study is trained, a batch has a part of the curves for each time that it was saved. The part holds
    the values since the time before.
    """

    # The values in the parts that this process has written, by batch and last step.
    _written: dict[int, dict[int, Values]] = dataclasses.field(
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

    def forget_curves(self) -> None:
        """Removes the table of curves, so that it is written anew."""
        with self._using("written"):
            (self.path / CURVES_FILE).unlink(missing_ok=True)

    def remove_unsaved(self, batches: Sequence[Batch]) -> None:
        """Removes states and parts of saves that were not finished, or of batches that are trained again."""
        parts, saved = self._parts(), set[Path]()
        for batch in batches:
            if (progress := self.progress(batch)) is not None:
                saved.add(self._state_path(batch, progress.iteration))
                reached = progress.iteration * batch.steps_per_iteration
                saved |= {path for last, path in parts.get(batch.index, {}).items() if last <= reached}
        with self._using("written"):
            states = (self.path / "checkpoints").glob("batch-[0-9]*-*.safetensors")
            for path in {*states, *(path for own in parts.values() for path in own.values())} - saved:
                path.unlink()

    def curves(self, manifest: Mapping[str, Any], batches: Sequence[Batch]) -> list[pa.Table]:
        """The curves up to the saved state of each batch, the newest last.

        Raises InputError if a part of a batch's curves is missing or cannot be read.
        """
        with self._using("read"):
            parts, extended = self._parts(), (self.path / CURVES_FILE).exists()
        tables, known = list[pa.Table](), set[tuple[int, int]]()
        if extended:
            old = self.table(CURVES_FILE, manifest)
            tables.append(as_curves(self.path / CURVES_FILE, pa.Table.from_pandas(old, preserve_index=False)))
            firsts = old[old["run"].isin([batch.runs[0].id for batch in batches])]
            known = {*zip(firsts["run"], firsts["step"], strict=True)}
        for batch in batches:
            progress = self.progress(batch)
            reached = -1 if progress is None else progress.iteration * batch.steps_per_iteration
            own = self._curves_of(batch, reached, parts.get(batch.index, {}))
            steps = {step for table in own for step in pc.unique(table["step"]).to_pylist()}
            for chunk in batch.chunks:
                step = chunk.stop * batch.steps_per_iteration
                if step <= reached and step not in steps and (batch.runs[0].id, step) not in known:
                    raise self._damaged(batch, f"its curves at step {step} are missing")
            tables += own
        return tables

    def _curves_of(self, batch: Batch, reached: int, parts: Mapping[int, Path]) -> list[pa.Table]:
        """The parts of a batch's curves whose last step is at most `reached`."""
        written = self._written.get(batch.index, {})
        try:
            return [
                curves_table(batch, written[last]) if last in written else read_part(parts[last])
                for last in sorted({*parts, *written})
                if last <= reached
            ]
        except InputError as error:
            raise self._damaged(batch, str(error)) from None

    def _write_part(self, batch: Batch, values: Values) -> None:
        """Writes values as a part, and again the parts that this process has written and somebody deleted."""
        written = self._written.setdefault(batch.index, {})
        written[max(values)] = values
        folder = subfolder(self.path, "parts")
        for last, each in written.items():
            part = folder / f"{batch.index:05d}-{last:015d}.parquet"
            if each is values or not part.exists():
                write_curves(part, curves_table(batch, each))

    def _parts(self) -> dict[int, dict[int, Path]]:
        """The files with parts of the curves, by batch and last step."""
        parts: dict[int, dict[int, Path]] = {}
        for path in (self.path / "parts").glob("*.parquet"):
            if named := re.fullmatch(r"(\d+)-(\d+)\.parquet", path.name):
                parts.setdefault(int(named[1]), {})[int(named[2])] = path
        return parts
