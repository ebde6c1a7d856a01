"""The results folder of a study.

    manifest.json     the study, the plan, versions and device, status, seconds of each batch
    runs.parquet      one row per run; `runs_table` makes its columns
    curves.parquet    one row per value: run, step, metric, value
    shared/           the arrays of shared fields, if there are any
    parts/            the curves while the study is trained, one file per batch and step
    checkpoints/      the last saved state of each batch, and a JSON file with its progress

The folder holds no code. A file appears whole or not at all.
"""

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd

from jaxrl.errors import InputError
from jaxrl.store.checkpoints import Checkpoints
from jaxrl.store.differences import differing_names
from jaxrl.store.manifest import FORMAT, TABLES, new_manifest, now, require_whole, spec_of, study_of
from jaxrl.store.remedy import how_to_continue
from jaxrl.store.shared import read_shared, write_shared
from jaxrl.store.tables import file_hash, read_table, runs_table, write_table
from jaxrl.study.batch import Batch
from jaxrl.study.plan import Plan
from jaxrl.study.study import Study
from jaxrl.version import VERSION

# What a study is made of. A new one needs a folder without these names.
OURS = {"manifest.json", *TABLES, "shared", "parts", "checkpoints"}
# Unfinished files, which only the process that holds the lock may write.
TEMPORARY = ("manifest.json.*.tmp", "*.parquet.*.tmp", "shared/*.tmp", "parts/*.tmp", "checkpoints/*.tmp")


@dataclasses.dataclass(frozen=True)
class Folder(Checkpoints):
    """A results folder. Its methods raise InputError where a file cannot be read or written."""

    @property
    def empty(self) -> bool:
        """Whether the folder holds no study yet. Foreign files, such as a scheduler's log, may be in it.

        Raises InputError for a link to nowhere.
        """
        with self._using("read"):
            if not self.path.exists():
                if self.path.is_symlink():
                    target = os.readlink(self.path)
                    raise InputError(
                        f"{self.path} is a link to {target}, which does not exist; make that folder"
                    )
                return True
            return self.path.is_dir() and not OURS & {*os.listdir(self.path)}

    def manifest(self) -> dict[str, Any]:
        """The manifest. Raises InputError if this version cannot read it."""
        try:
            manifest = json.loads((self.path / "manifest.json").read_text())
            format = int(manifest["format"])
            if format == FORMAT:
                require_whole(manifest)
        except FileNotFoundError:
            what = "it has no manifest.json" if self.path.exists() else "there is no such folder"
            raise InputError(f"{self.path} is not a results folder: {what}") from None
        except NotADirectoryError:
            raise InputError(f"{self.path} is not a results folder: it is a file") from None
        except OSError as error:
            raise InputError(f"{self.path}/manifest.json cannot be read: {error.strerror}") from None
        except KeyError as error:
            raise InputError(f"{self.path}/manifest.json is damaged: it lacks {error}") from None
        except (ValueError, TypeError):
            raise InputError(f"{self.path}/manifest.json is damaged") from None
        if format != FORMAT:
            age = "newer" if format > FORMAT else "older"
            raise InputError(f"{self.path} has format {format}, {age} than this jaxrl reads ({FORMAT})")
        return manifest

    def study(self) -> Study:
        """The study that the manifest describes. Raises InputError if it cannot be read here."""
        return study_of(self.manifest(), read_shared(self.path / "shared"))

    def table(self, name: str, expected: str | None = None) -> pd.DataFrame:
        """One of the tables. Raises InputError with the remedy if it is lost or has another hash."""
        try:
            return read_table(self.path / name, expected)
        except InputError as error:
            raise InputError(f"{error}; {TABLES[name].format(path=shlex.quote(str(self.path)))}") from None

    def require_same(self, study: Study, width: int | None) -> None:
        """Raises InputError unless the folder holds the same study, and holds it complete."""
        manifest = self.manifest()
        theirs = manifest["study"] | {"width": manifest["plan"]["width"], "jaxrl": manifest["jaxrl"]}
        ours = json.loads(json.dumps(spec_of(study))) | {"width": width or theirs["width"], "jaxrl": VERSION}
        if differing := differing_names(theirs, ours):
            raise InputError(
                f"{self.path} holds another study, which differs in {', '.join(differing)}; "
                "choose another folder"
            )
        if manifest["status"] != "complete":
            with self.locked():
                raise InputError(
                    f"{self.path} holds this study unfinished; {how_to_continue(study, self.path)}"
                )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing to the folder. The lock ends with the process at the latest."""
        with self._using("written"):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / ".lock")
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                raise InputError(f"another process is writing {self.path}; wait until it is done") from None
        try:
            yield
        finally:
            lock.release()

    def create(self, study: Study, plan: Plan) -> None:
        """Begins a study in an empty folder."""
        if not self.empty:
            raise InputError(f"{self.path} is not empty; choose another folder")
        self._begin(new_manifest(study, plan), study)

    def reopen(self, study: Study, plan: Plan, differing: Mapping[str, Any]) -> None:
        """Marks the study as running again.

        The manifest gets a note of the time, of what differs from the start of the study, of the batches that
        are trained from now on, and of those that are trained from their start. If all batches are trained
        from their start, the manifest begins anew instead.
        """
        manifest, spec = self.manifest(), spec_of(study)
        unfinished = [batch.index for batch in plan.batches if not self.finished(batch)]
        anew = [batch.index for batch in plan.batches if self.progress(batch) is None]
        if len(anew) == len(plan.batches):
            manifest = new_manifest(study, plan) | {"created": manifest["created"]}
        else:
            note = {"at": now(), "batches": unfinished, "anew": anew, "differing": dict(differing)}
            manifest["resumed"].append(note)
            manifest["study"] |= {name: spec[name] for name in ("more_seeds", "more_steps")}
            manifest["plan"]["batches"] = len(plan.batches)
        self._begin(manifest | {"status": "running"}, study)

    def _begin(self, manifest: Mapping[str, Any], study: Study) -> None:
        """Writes the manifest, then all else that training needs.

        Removes the unfinished files of processes that were killed.
        """
        with self._using("written"):
            for pattern in TEMPORARY:
                for left in self.path.glob(pattern):
                    left.unlink()
            self._write_json("manifest.json", manifest)
            (self.path / "parts").mkdir(exist_ok=True)
            (self.path / "checkpoints").mkdir(exist_ok=True)
            environments = (*study.environments, *(env for _, env in study.evaluate_in))
            write_shared(self.path / "shared", (*environments, *study.algorithms))
            write_table(self.path / "runs.parquet", runs_table(study))

    def record(self, batch: Batch, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Writes the values of all metrics ([lanes] each) after `step` environment steps."""
        count = len(batch.runs)
        frames = [
            pd.DataFrame(
                {
                    "run": np.array([run.id for run in batch.runs], np.int32),
                    "step": np.int64(step),
                    "metric": name,
                    "value": np.asarray(lanes[:count], np.float64),
                }
            )
            for name, lanes in values.items()
        ]
        with self._using("written"):
            write_table(self._part(batch, step), pd.concat(frames))

    def forget_curves(self) -> None:
        """Removes all curves, so that they are written anew."""
        with self._using("written"):
            (self.path / "curves.parquet").unlink(missing_ok=True)
            for part in (self.path / "parts").glob("*.parquet"):
                part.unlink()

    def curves(self, batches: Sequence[Batch]) -> list[pd.DataFrame]:
        """The curves up to the saved state of each batch, the newest last.

        Raises InputError if a part of a batch's curves is missing or cannot be read.
        """
        with self._using("read"):
            extended = (self.path / "curves.parquet").exists()
        tables = [self.table("curves.parquet")] if extended else []
        known = {pair for table in tables for pair in zip(table["run"], table["step"], strict=True)}
        for batch in batches:
            progress = self.progress(batch)
            reached = -1 if progress is None else progress.iteration
            for chunk in batch.chunks:
                step = chunk.stop * batch.steps_per_iteration
                if chunk.stop <= reached and (part := self._part(batch, step)).exists():
                    try:
                        tables.append(read_table(part))
                    except InputError as error:
                        raise self._damaged(batch, str(error)) from None
                elif chunk.stop <= reached and (batch.runs[0].id, step) not in known:
                    raise self._damaged(batch, f"its curves at step {step} are missing")
        return tables

    def finish(self, study: Study, batches: Sequence[Batch]) -> None:
        """Joins the parts into the final tables and marks the study complete."""
        manifest = self.manifest()
        seconds = [
            {"runs": [run.id for run in batch.runs], **self._saved(batch).seconds} for batch in batches
        ]
        joined = pd.concat(self.curves(batches))
        joined = joined.drop_duplicates(["run", "metric", "step"], keep="last")
        curves, runs = self.path / "curves.parquet", self.path / "runs.parquet"
        with self._using("written"):
            write_table(curves, joined.sort_values(["run", "metric", "step"], ignore_index=True))
            write_table(runs, self._final_runs(study, batches))
            hashes = {table.name: file_hash(table) for table in (runs, curves)}
            self._write_json(
                "manifest.json", manifest | {"status": "complete", "seconds": seconds, "sha256": hashes}
            )
            shutil.rmtree(self.path / "parts")

    def mend_runs(self, study: Study, batches: Sequence[Batch]) -> bool:
        """Writes a complete study's table of runs again if it is lost or altered. Returns whether it was."""
        manifest, runs = self.manifest(), self.path / "runs.parquet"
        with self._using("written"):
            if runs.exists() and file_hash(runs) == manifest["sha256"][runs.name]:
                return False
            write_table(runs, self._final_runs(study, batches))
            manifest["sha256"][runs.name] = file_hash(runs)
            self._write_json("manifest.json", manifest)
        return True

    def _final_runs(self, study: Study, batches: Sequence[Batch]) -> pd.DataFrame:
        saved = [self._saved(batch) for batch in batches]
        return runs_table(study, {int(run): where for each in saved for run, where in each.failed.items()})

    def _part(self, batch: Batch, step: int) -> Path:
        return self.path / "parts" / f"{batch.index:05d}-{step:015d}.parquet"
