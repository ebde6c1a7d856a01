"""The results folder of a study: writing it, and what it says of itself.

    manifest.json     the study, the plan, versions and device, status, seconds of each batch
    runs.parquet      one row a run; its columns are those of `runs_table`
    curves.parquet    one row a value: run, step, metric, value
    shared/           the arrays of each shared field, if there are any
    parts/            the curves of a study under way, a file for each batch and step
    checkpoints/      of each batch the last saved state, and in a JSON beside it how far that is

Nothing in it is code. Files appear whole or not at all.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import filelock
import jax
import numpy as np
import pandas as pd

from jaxrl.compiled.engine import initialise
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import State
from jaxrl.store.differences import differing_names
from jaxrl.store.manifest import (
    FORMAT,
    KINDS,
    TABLES,
    new_manifest,
    now,
    require_whole,
    spec_of,
    study_of,
)
from jaxrl.store.shared import read_shared, write_shared
from jaxrl.store.states import lane_hashes, read_state, write_state
from jaxrl.store.tables import file_hash, read_table, runs_table, write_table, write_text
from jaxrl.study.batch import Batch
from jaxrl.study.plan import Plan
from jaxrl.study.study import Study
from jaxrl.version import VERSION


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a batch is."""

    iteration: int  # of the saved state
    files: str  # hash of its files
    hashes: dict[str, str]  # run -> hash of its state
    seconds: dict[str, float]  # spent so far, by KINDS
    failed: dict[str, tuple[int, str]]  # run -> iteration and metric where it was first not finite

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError, KeyError, TypeError or AttributeError unless it is the JSON of one."""
        values = json.loads(text)
        failed = {str(int(run)): (int(at), str(metric)) for run, (at, metric) in values["failed"].items()}
        progress = cls(**(values | {"failed": failed}))
        typed: list[tuple[Any, type]] = [(progress.iteration, int), (progress.files, str)]
        typed += [(value, str) for value in progress.hashes.values()]
        typed += [(progress.seconds[kind], float) for kind in KINDS]
        if not all(type(value) is kind for value, kind in typed):
            raise TypeError
        return progress


@dataclasses.dataclass(frozen=True)
class Folder:
    """A results folder. Its methods raise InputError where a file cannot be read or written."""

    path: Path
    _writing: threading.RLock = dataclasses.field(default_factory=threading.RLock, repr=False, compare=False)
    _abandoned: threading.Event = dataclasses.field(
        default_factory=threading.Event, repr=False, compare=False
    )

    def abandon(self) -> None:
        """From now on threads that still train write nothing more; waits for what is being written."""
        with self._writing:
            self._abandoned.set()

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it yet."""
        with self._using("read"):
            if not self.path.exists():
                return True
            return self.path.is_dir() and {*os.listdir(self.path)} <= {".lock", "manifest.json.tmp"}

    def manifest(self) -> dict[str, Any]:
        """The manifest. Raises InputError if there is none that this version can read."""
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
        """One of the tables, with the `expected` hash. Raises InputError, with the remedy, if it is lost."""
        try:
            return read_table(self.path / name, expected)
        except InputError as error:
            raise InputError(f"{error}; {TABLES[name].format(path=self.path)}") from None

    def require_same(self, study: Study, width: int | None) -> None:
        """Raises InputError unless the folder holds this very study, complete."""
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
                    f"{self.path} holds this study unfinished; continue it with: jaxrl resume {self.path}"
                )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing the folder; the lock ends with the process at the latest."""
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
        """Writes manifest and table of runs into an empty folder."""
        if not self.empty:
            raise InputError(f"{self.path} is not empty; choose another folder")
        self._begin(new_manifest(study, plan), study)

    def reopen(self, study: Study, plan: Plan, differing: Mapping[str, Any]) -> None:
        """Marks the study as under way again.

        Notes when, what differs from where it began, which batches are trained from now on, and which of them
        anew. What it began with stays, unless nothing is left of that.
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
        """What must be there before training; the manifest first, with which the folder is a study's."""
        with self._using("written"):
            self._write_json("manifest.json", manifest)
            (self.path / "parts").mkdir(exist_ok=True)
            (self.path / "checkpoints").mkdir(exist_ok=True)
            environments = (*study.environments, *(env for _, env in study.evaluate_in))
            write_shared(self.path / "shared", (*environments, *study.algorithms))
            write_table(self.path / "runs.parquet", runs_table(study))

    def record(self, batch: Batch, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Keeps one value per metric and lane ([lanes] each) reached after `step` environment steps."""
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

    def save(
        self,
        batch: Batch,
        iteration: int,
        state: State,
        seconds: Mapping[str, float],
        failed: Mapping[str, tuple[int, str]],
    ) -> None:
        """Saves the state of a batch after an iteration in place of the one before.

        `failed` (run -> iteration, metric) may hold runs of other batches, which are left out.
        """
        start = time.monotonic()
        folder = self.path / "checkpoints"
        path = self._state_path(batch, iteration)
        ids = [str(run.id) for run in batch.runs]
        hashes = lane_hashes(state, range(len(ids)))
        with self._using("written"):
            files = write_state(path, state)
            progress = Progress(
                iteration,
                files,
                dict(zip(ids, hashes, strict=True)),
                {**seconds, "save": seconds["save"] + time.monotonic() - start},
                {run: where for run, where in failed.items() if run in ids},
            )
            self._write_json(f"checkpoints/{_name(batch)}.json", dataclasses.asdict(progress))
            for other in folder.glob(f"{_name(batch)}-*"):
                if other != path:
                    other.unlink()

    def progress(self, batch: Batch) -> Progress | None:
        """How far a batch is, None if nothing of it was saved."""
        file = self.path / "checkpoints" / f"{_name(batch)}.json"
        try:
            return Progress.read(file.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise self._damaged(batch, f"{file} cannot be read") from None

    def finished(self, batch: Batch) -> bool:
        """Whether a batch is trained to the end."""
        progress = self.progress(batch)
        return progress is not None and progress.iteration == batch.iterations

    def state(self, batch: Batch) -> State:
        """The last saved state of all lanes of a batch."""
        progress, lanes = self._saved(batch), batch.lanes()
        shapes = jax.eval_shape(
            initialise, lanes.algorithm, lanes.environment, lanes.keys.init, lanes.shared, batch.iterations
        )
        path = self._state_path(batch, progress.iteration)
        try:
            state = read_state(path, shapes, progress.files)
        except InputError as error:
            raise self._damaged(batch, str(error)) from None
        expected = [progress.hashes.get(str(run.id)) for run in batch.runs]
        if lane_hashes(state, range(len(batch.runs))) != expected:
            raise self._damaged(batch, "its state was altered: the hashes differ")
        return state

    def forget(self, batch: Batch) -> None:
        """Removes the checkpoint of a batch, so that it is trained again."""
        with self._using("written"):
            for path in (self.path / "checkpoints").glob(f"{_name(batch)}[-.]*"):
                path.unlink()

    def forget_curves(self) -> None:
        """Removes all curves, so that they are written anew."""
        with self._using("written"):
            (self.path / "curves.parquet").unlink(missing_ok=True)
            for part in (self.path / "parts").glob("*.parquet"):
                part.unlink()

    def curves(self, batches: Sequence[Batch]) -> list[pd.DataFrame]:
        """The curves of all that the saved states have behind them, the newest last.

        Raises InputError for a batch of which a part is missing or cannot be read.
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
        """Writes the table of runs of a complete study again if it is missing or altered; gives whether."""
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

    def _saved(self, batch: Batch) -> Progress:
        """How far a batch is, of which something must have been saved."""
        progress = self.progress(batch)
        if progress is None:
            raise self._damaged(batch, "its checkpoint is missing")
        return progress

    def _part(self, batch: Batch, step: int) -> Path:
        return self.path / "parts" / f"{batch.index:05d}-{step:015d}.parquet"

    def _state_path(self, batch: Batch, iteration: int) -> Path:
        return self.path / "checkpoints" / f"{_name(batch)}-{iteration:010d}.safetensors"

    def _damaged(self, batch: Batch, what: str) -> InputError:
        first, last = batch.runs[0].id, batch.runs[-1].id
        return InputError(
            f"batch {batch.index} of {self.path} (runs {first} to {last}) is damaged: {what}; "
            f"train it again with: jaxrl resume {self.path} --rerun {batch.index}"
        )

    @contextlib.contextmanager
    def _using(self, how: str) -> Iterator[None]:
        """Turns what the file system refuses, a full disk for one, into an InputError with the remedy."""
        try:
            with self._writing:
                if self._abandoned.is_set():
                    raise KeyboardInterrupt
                yield
        except OSError as error:
            under_way = how == "written" and os.path.exists(self.path / "manifest.json")
            then = f"; once it can be, continue with: jaxrl resume {self.path}" if under_way else ""
            raise InputError(f"{self.path} cannot be {how}: {error.strerror or error}{then}") from None

    def _write_json(self, name: str, values: Mapping[str, Any]) -> None:
        write_text(self.path / name, json.dumps(values, indent=2))


def _name(batch: Batch) -> str:
    return f"batch-{batch.index:05d}"
