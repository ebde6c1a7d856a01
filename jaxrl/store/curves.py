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
from jaxrl.store.tables import (
    as_curves,
    curves_hash,
    curves_table,
    joined_curves,
    read_curves,
    read_part,
    read_runs,
    write_curves,
)
from jaxrl.study.batch import Batch

Part = tuple[int, str]  # last step and writer of a part of a batch's curves
Values = Mapping[int, Mapping[str, np.ndarray]]  # step -> metric -> [lanes]


@dataclasses.dataclass(frozen=True)
class Curves(Checkpoints):
    """The tables in a results folder. Raises InputError where a file cannot be read or written.

    While a study is trained, a batch has a part of the curves for each time that it was saved. The part holds
    the values since the time before. The part of the last time holds all of the batch's values.
    """

    # The parts that this process has written, by batch and last step.
    _written: dict[int, dict[int, pa.Table]] = dataclasses.field(
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
            self._drop_note(batch)
            if (progress := self.progress(batch)) is not None:
                saved.add(self._state_file(batch, progress))
                reached = progress.iteration * batch.steps_per_iteration
                own = parts.get(batch.index, {})
                saved |= {path for (last, _), path in own.items() if last <= reached}
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
            own = self._curves_of(batch, parts.get(batch.index, {}))
            steps = {step for table in own for step in pc.unique(table["step"]).to_pylist()}
            for chunk in batch.chunks:
                step = chunk.stop * batch.steps_per_iteration
                if step <= reached and step not in steps and (batch.runs[0].id, step) not in known:
                    raise self._damaged(batch, f"its curves at step {step} are missing")
            tables += own
        return tables

    def _curves_of(self, batch: Batch, parts: Mapping[Part, Path]) -> list[pa.Table]:
        """The parts of a batch's curves up to its saved state. A batch that is done has one."""
        if (progress := self.progress(batch)) is None:
            return []
        last = progress.iteration * batch.steps_per_iteration
        if not progress.curves or progress.iteration < batch.iterations:
            return self._read_parts(batch, self._parts_until(batch, last, parts), parts)
        tables = self._read_parts(batch, [(last, progress.writer)], parts)
        if any(curves_hash(table) != progress.curves for table in tables):
            raise self._damaged(batch, "its curves were altered: the hashes differ")
        return tables

    def _parts_until(self, batch: Batch, last: int, parts: Mapping[Part, Path]) -> list[Part]:
        """The parts up to a step. Those of this process come last, since the last value of a step counts."""
        own = {(at, self.writer) for at in self._written.get(batch.index, {})}
        return sorted(
            (each for each in own | {*parts} if each[0] <= last), key=lambda each: (each in own, each)
        )

    def _read_parts(self, batch: Batch, wanted: Sequence[Part], parts: Mapping[Part, Path]) -> list[pa.Table]:
        """These parts, those of this process from memory, without those that do not exist."""
        written = self._written.get(batch.index, {})
        try:
            return [
                written[part[0]] if part[1] == self.writer and part[0] in written else read_part(parts[part])
                for part in wanted
                if part in parts or (part[1] == self.writer and part[0] in written)
            ]
        except InputError as error:
            raise self._damaged(batch, str(error)) from None

    def _write_part(self, batch: Batch, values: Values) -> None:
        """Writes values as a part, and again the parts that this process has written and somebody deleted."""
        written = self._written.setdefault(batch.index, {})
        written[max(values)] = curves_table(batch, values)
        for last, table in written.items():
            part = self._part(batch, last)
            if last == max(values) or not part.exists():
                write_curves(part, table)

    def _write_whole(self, batch: Batch, values: Values) -> str:
        """Writes all curves of a batch, whose last values are these, as one part. Returns their hash."""
        parts = self._parts().get(batch.index, {})
        earlier = self._read_parts(batch, self._parts_until(batch, max(values), parts), parts)
        table = joined_curves([*earlier, curves_table(batch, values)])
        write_curves(self._part(batch, max(values)), table)
        self._written[batch.index] = {max(values): table}
        return curves_hash(table)

    def _part(self, batch: Batch, last: int) -> Path:
        """The file of a part that this process writes."""
        name = "-".join(filter(None, (f"{batch.index:05d}", f"{last:015d}", self.writer)))
        return subfolder(self.path, "parts") / f"{name}.parquet"

    def _parts(self) -> dict[int, dict[Part, Path]]:
        """The files with parts of the curves, by batch."""
        parts: dict[int, dict[Part, Path]] = {}
        for path in (self.path / "parts").glob("*.parquet"):
            if named := re.fullmatch(r"(\d+)-(\d+)-?([0-9a-f]*)\.parquet", path.name):
                parts.setdefault(int(named[1]), {})[int(named[2]), named[3]] = path
        return parts
