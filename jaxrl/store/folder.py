"""The results folder of a study.

    manifest.json     the study, the plan, versions and device, status, seconds of each batch
    runs.parquet      one row per run; `runs_table` makes its columns
    curves.parquet    one row per value: run, step, metric, value
    shared/           the arrays of shared fields, if there are any
    parts/            the curves while the study is trained, one file for each time that a batch was saved
    checkpoints/      the last saved state of each batch, and a JSON file with its progress

The folder holds no code. A file appears whole or not at all.
"""

import contextlib
import dataclasses
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from jaxrl.errors import InputError, printable
from jaxrl.learning.algorithm import State
from jaxrl.store.checkpoints import FOLDERS, LOCK
from jaxrl.store.curves import Curves, Values
from jaxrl.store.differences import differing_names, missing_notes
from jaxrl.store.files import file_hash, read_text
from jaxrl.store.locks import Held, Lock, exclusive
from jaxrl.store.manifest import (
    CURVES_FILE,
    RUNS_FILE,
    TABLES,
    new_manifest,
    now,
    parse_manifest,
    spec_of,
    study_of,
)
from jaxrl.store.shared import read_shared, write_shared
from jaxrl.store.tables import joined_curves, runs_table, write_curves, write_table
from jaxrl.study.batch import Batch
from jaxrl.study.plan import Plan
from jaxrl.study.study import Study
from jaxrl.version import VERSION

# What a study is made of. A new one needs a folder without these names.
OURS = {"manifest.json", *TABLES, *FOLDERS}
# Unfinished files. Whoever has the folder to itself may remove them.
TEMPORARY = ("manifest.json.*.tmp", "*.parquet.*.tmp", "shared/*.tmp", "parts/*.tmp", "checkpoints/*.tmp")


@dataclasses.dataclass(frozen=True)
class Folder(Curves):
    """A results folder. Its methods raise InputError where a file cannot be read or written."""

    # The manifest with which this process has begun to train; {} before that.
    _begun: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def refresh(self) -> None:
        """Brings what other workers have saved, which a folder that all of them see needs not."""

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

    @property
    def untouched(self) -> bool:
        """Whether no batch was saved."""
        with self._using("read"):
            return not any((self.path / "checkpoints").glob("batch-*.json"))

    def manifest(self) -> dict[str, Any]:
        """The manifest. Raises InputError if this version cannot read it."""
        file = self.path / "manifest.json"
        try:
            return parse_manifest(read_text(file))
        except FileNotFoundError:
            what = "it has no manifest.json" if self.path.exists() else "there is no such folder"
            raise InputError(f"{self.path} is not a results folder: {what}") from None
        except NotADirectoryError:
            raise InputError(f"{self.path} is not a results folder: it is a file") from None
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}") from None
        except InputError as error:
            raise InputError(f"{file} {error}") from None
        except ValueError:  # it is no UTF-8
            raise InputError(f"{file} is damaged") from None

    def study(self) -> Study:
        """The study that the manifest describes. Raises InputError if it cannot be read here."""
        return study_of(self.manifest(), read_shared(self.path / "shared"))

    def require_same(self, study: Study, width: int | None) -> dict[str, Any]:
        """The manifest. Raises InputError unless the folder holds the same study."""
        manifest = self.manifest()
        theirs = manifest["study"] | {"width": manifest["plan"]["width"], "jaxrl": manifest["jaxrl"]}
        ours = json.loads(json.dumps(spec_of(study))) | {"width": width or theirs["width"], "jaxrl": VERSION}
        if differing := differing_names(theirs, ours):
            raise InputError(
                f"{self.path} holds another study, which differs in {', '.join(differing)}; "
                "choose another folder"
            )
        return manifest

    @contextlib.contextmanager
    def locked(self, wait: float = 0.0, lock: Lock = exclusive) -> Iterator[None]:
        """Keeps other processes from writing to the folder, with a `shared` lock all but other workers.

        Raises Held if one does after `wait` seconds.
        """
        with self._using("written"):
            self.path.mkdir(parents=True, exist_ok=True)
            stack = contextlib.ExitStack()
            stack.enter_context(lock(self.path / LOCK, wait))
        with stack:
            yield

    def in_use(self) -> bool | None:
        """Whether a process trains or finishes the study now; None if the folder may not be written."""
        if not (self.path / LOCK).exists():
            return False
        try:
            with self.locked():
                return False
        except InputError as error:
            return True if isinstance(error, Held) else None

    def create(self, study: Study, plan: Plan, status: str = "running") -> None:
        """Begins a study in an empty folder. The status "planned" says that nobody trains it yet."""
        if not self.empty:
            raise InputError(f"{self.path} is not empty; choose another folder")
        self._begin(new_manifest(study, plan) | {"status": status}, study)

    def reopen(self, study: Study, plan: Plan, differing: Mapping[str, Any], here: bool = True) -> None:
        """Marks the study as running again, or as planned if nothing was trained and others will train it.

        The manifest gets a note of the time, of what differs from the start of the study, and of the batches
        that are trained from now on. If all batches are trained from their start, the manifest begins anew
        instead.
        """
        manifest, spec = self.manifest(), spec_of(study)
        unfinished = [batch.index for batch in plan.batches if not self.finished(batch)]
        if all(self.progress(batch) is None for batch in plan.batches):
            status = "running" if here else "planned"
            manifest, differing = new_manifest(study, plan) | {"created": manifest["created"]}, {}
        else:
            status = "running"
            manifest["resumed"].append({"at": now(), "batches": unfinished, "differing": dict(differing)})
            manifest["study"] |= {name: spec[name] for name in ("more_seeds", "more_steps")}
            manifest["plan"]["batches"] = len(plan.batches)
        for batch in plan.batches:
            self.reopen_batch(batch)
        self.remove_unsaved(plan.batches)
        self._begin(manifest | {"status": status}, study, differing)

    def _begin(
        self, manifest: Mapping[str, Any], study: Study, differing: Mapping[str, Any] | None = None
    ) -> None:
        """Writes the manifest, then all else that training needs.

        Removes the unfinished files of processes that were killed.
        """
        with self._using("written"):
            self._remove_temporary()
            self.open_session(manifest, differing or {})
            self._write_json("manifest.json", manifest)
            self._write_shared(study)
            write_table(self.path / RUNS_FILE, runs_table(study))

    def open_session(self, manifest: Mapping[str, Any], differing: Mapping[str, Any]) -> None:
        """Notes the manifest with which this process trains, and what differs here from the study's start."""
        self._begun.update(manifest)
        pairs = {name: [*pair] for name, pair in differing.items()}
        self._session.update(host=printable(platform.node()), differing=pairs)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replaces the manifest."""
        with self._using("written"):
            self._write_json("manifest.json", manifest)

    def remove_unfinished(self, batches: Sequence[Batch]) -> None:
        """Removes what saves left that were not finished."""
        with self._using("written"):
            self._remove_temporary()
        self.remove_unsaved(batches)

    def _remove_temporary(self) -> None:
        for pattern in TEMPORARY:
            for left in self.path.glob(pattern):
                left.unlink()

    def _write_shared(self, study: Study) -> None:
        environments = (*study.environments, *(env for _, env in study.evaluate_in))
        write_shared(self.path / "shared", (*environments, *study.algorithms))

    def save(
        self,
        batch: Batch,
        iteration: int,
        state: State,
        values: Values,
        seconds: Mapping[str, float],
        failed: Mapping[str, tuple[int, str]],
    ) -> None:
        """Saves a batch: its state after `iteration` and the values of its metrics since it was last saved.

        What this process has written for it and somebody has deleted is written again. The note of progress
        or the record comes last, so that a process which is killed leaves the save before. For `failed` see
        `save_state`.
        """
        start, curves = time.monotonic(), ""
        with self._using("written"):
            self._write_manifest_if_lost()
            if iteration == batch.iterations:
                curves = self._write_whole(batch, values)
            else:
                self._write_part(batch, values)
        spent = time.monotonic() - start
        self.save_state(batch, iteration, state, {**seconds, "save": seconds["save"] + spent}, failed, curves)

    def _write_manifest_if_lost(self) -> None:
        if self._begun and not (self.path / "manifest.json").exists():
            self._write_json("manifest.json", self._begun)

    def finish(self, study: Study, batches: Sequence[Batch]) -> None:
        """Joins the parts into the final tables and marks the study complete.

        Raises InputError if somebody has deleted a state or a part that this process cannot write again.
        """
        with self._using("written"):
            self._write_manifest_if_lost()
            self._write_shared(study)
        manifest = self.manifest()
        for batch in batches:
            self._require_state(batch)
        seconds = [
            {"runs": [run.id for run in batch.runs], **self._saved(batch).seconds} for batch in batches
        ]
        joined = joined_curves(self.curves(manifest, batches))
        curves, runs = self.path / CURVES_FILE, self.path / RUNS_FILE
        sessions = {batch.index: self._saved(batch).sessions for batch in batches}
        manifest["resumed"] += missing_notes(manifest, sessions)
        manifest.pop("sha256", None)
        with self._using("written"):
            # First, so that a manifest never has the hash of a table that was replaced.
            self._write_json("manifest.json", manifest)
            write_curves(curves, joined)
            write_table(runs, self._final_runs(study, batches))
            hashes = {table.name: file_hash(table) for table in (runs, curves)}
            self._write_json(
                "manifest.json", manifest | {"status": "complete", "seconds": seconds, "sha256": hashes}
            )
            shutil.rmtree(self.path / "parts", ignore_errors=True)

    def has_runs(self, manifest: Mapping[str, Any]) -> bool:
        """Whether the table of runs of a complete study is whole."""
        with contextlib.suppress(InputError):
            self.table(RUNS_FILE, manifest)
            return True
        return False

    def mend_runs(self, study: Study, batches: Sequence[Batch]) -> None:
        """Writes a complete study's table of runs again."""
        manifest, runs = self.manifest(), self.path / RUNS_FILE
        with self._using("written"):
            write_table(runs, self._final_runs(study, batches))
            manifest["sha256"][runs.name] = file_hash(runs)
            self._write_json("manifest.json", manifest)

    def _final_runs(self, study: Study, batches: Sequence[Batch]) -> pd.DataFrame:
        saved = [self._saved(batch) for batch in batches]
        return runs_table(study, {int(run): where for each in saved for run, where in each.failed.items()})
