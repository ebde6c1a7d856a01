"""The saved states of batches in a results folder, and the progress of each batch.

While a batch is trained, a note holds its progress. Each save replaces the note. A batch that is done has a
record instead, which is written last. If several workers train the same batch, the first one that is done
writes its record, and the others compare their results with it.
"""

import contextlib
import dataclasses
import json
import math
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import jax

from jaxrl.compiled.engine import initialise
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import State
from jaxrl.store.files import read_text, reading, require_no_link, subfolder, write_text
from jaxrl.store.manifest import KINDS, are_differences, is_text
from jaxrl.store.states import lane_hashes, read_state, write_state
from jaxrl.study.batch import Batch
from jaxrl.text import command

LOCK = ".lock"
FOLDERS = ("parts", "checkpoints", "shared")  # in a results folder
SESSION = {"host": is_text, "differing": are_differences}  # the form of an entry of `Progress.sessions`


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a batch."""

    iteration: int  # of the saved state
    files: str  # hash of the state's file
    hashes: dict[str, str]  # run -> hash of its state
    seconds: dict[str, float]  # spent so far, by KINDS
    failed: dict[str, tuple[int, str]]  # run -> iteration and metric where it was first not finite
    writer: str = ""  # of the state's file and of the curves; "" if it had the folder to itself
    curves: str = ""  # hash of the batch's curves once it is done; "" before
    # Who trained it: name of the host, and what differed there from the manifest as in `differences`.
    sessions: tuple[dict[str, Any], ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """The progress in a JSON text. Raises ValueError, KeyError, TypeError or AttributeError."""
        values = json.loads(text)
        failed = {str(int(run)): (int(at), str(metric)) for run, (at, metric) in values["failed"].items()}
        sessions = tuple({key: each[key] for key in SESSION} for each in values.get("sessions", ()))
        progress = cls(**(values | {"failed": failed, "sessions": sessions}))
        typed: list[tuple[Any, type]] = [(progress.iteration, int), (progress.files, str)]
        typed += [(value, str) for value in progress.hashes.values()]
        typed += [(progress.seconds[kind], float) for kind in KINDS]
        if not all(type(value) is kind for value, kind in typed):
            raise TypeError
        if not all(0 <= progress.seconds[kind] < math.inf for kind in KINDS):
            raise ValueError
        if not re.fullmatch("[0-9a-f]*", progress.writer + progress.curves):
            raise ValueError
        if not all(SESSION[key](each[key]) for each in sessions for key in SESSION):
            raise ValueError
        return progress


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The saved states in a results folder. Raises InputError where a file cannot be read or written."""

    continued_by: ClassVar[str] = "resume"  # the command that finishes an unfinished study

    path: Path
    writer: str = ""  # in the names of a worker's files; "" for a process that has the folder to itself
    # The entry of `Progress.sessions` for this process; {} before it trains.
    _session: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    # The file of the state of each batch that this process has saved last.
    _last: dict[int, Path] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    _writing: threading.RLock = dataclasses.field(default_factory=threading.RLock, repr=False, compare=False)
    _abandoned: threading.Event = dataclasses.field(
        default_factory=threading.Event, repr=False, compare=False
    )

    def abandon(self) -> None:
        """Forbids further writes, also to threads that still train. Waits for a write that has begun."""
        with self._writing:
            self._abandoned.set()

    def save_state(
        self,
        batch: Batch,
        iteration: int,
        state: State,
        seconds: Mapping[str, float],
        failed: Mapping[str, tuple[int, str]],
        curves: str = "",
    ) -> None:
        """Replaces the saved state of a batch by its state after `iteration`.

        `failed` (run -> iteration, metric) may hold runs of other batches; they are left out. `curves` is the
        hash of the curves of a batch that is done. Raises InputError if another worker was done with the
        batch and has other hashes.
        """
        start, before = time.monotonic(), None
        ids = [str(run.id) for run in batch.runs]
        hashes = lane_hashes(state, range(len(ids)))
        path = self._state_path(batch, iteration, self.writer)
        with self._using("written"):
            subfolder(self.path, "checkpoints")
            with contextlib.suppress(InputError):  # a damaged note is replaced
                before = self.progress(batch)
            if before is not None and before.iteration == batch.iterations != iteration:
                return  # another worker was done with the batch
            earlier = () if before is None else before.sessions
            progress = Progress(
                iteration,
                write_state(path, state),
                dict(zip(ids, hashes, strict=True)),
                {**seconds, "save": seconds["save"] + time.monotonic() - start},
                {run: where for run, where in failed.items() if run in ids},
                self.writer,
                curves,
                earlier if self._session in ({}, *earlier) else (*earlier, self._session),
            )
            if iteration < batch.iterations:
                self._write_json(_note(batch), dataclasses.asdict(progress))
            elif not self._write_record(batch, progress):
                path.unlink()
                self._require_agreement(batch, progress)
                return
            self._remove_older(batch, before, path)

    def _remove_older(self, batch: Batch, before: Progress | None, path: Path) -> None:
        """Removes the states that were saved last before the one at `path`: by this process and by anyone."""
        older = {self._last.get(batch.index, path)}
        if before is not None:
            older.add(self._state_file(batch, before))
        for each in older - {path}:
            each.unlink(missing_ok=True)
        self._last[batch.index] = path

    def _write_record(self, batch: Batch, progress: Progress) -> bool:
        """Writes the record of a batch that is done, unless another worker has. Returns whether it did."""
        try:
            self._write_json(_record(batch), dataclasses.asdict(progress), only_if_absent=bool(self.writer))
        except FileExistsError:
            # NFS may send a request twice, so that a link is made and then refused.
            if self._saved(batch).writer != self.writer:
                return False
        (self.path / _note(batch)).unlink(missing_ok=True)
        return True

    def _require_agreement(self, batch: Batch, ours: Progress) -> None:
        """Raises InputError unless another worker's record of a batch has the same hashes as ours."""
        theirs = self._saved(batch)
        differing = [
            f"the state of run {run}" for run in ours.hashes if ours.hashes[run] != theirs.hashes.get(run)
        ]
        differing += ["the table of curves"] if ours.curves != theirs.curves else []
        if differing:
            hosts = [each.sessions[-1]["host"] if each.sessions else "unknown" for each in (theirs, ours)]
            raise InputError(
                f"two workers have trained batch {batch.index} of {self.path}, and {differing[0]} differs: "
                f"the result of host {hosts[0]} came first and stays, that of host {hosts[1]} is dropped; "
                f"once the study is complete, check it with: {command('verify', self.path)}"
            )

    def progress(self, batch: Batch) -> Progress | None:
        """The progress of a batch, by its record or else by its note; None if nothing of it was saved."""
        # Another worker may replace the note by the record between two looks.
        for name in (_record(batch), _note(batch), _record(batch)):
            file = self.path / name
            try:
                progress = Progress.read(read_text(file))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise self._damaged(batch, f"{file} cannot be read") from None
            if progress.iteration not in {chunk.stop for chunk in batch.chunks}:
                raise self._damaged(batch, f"no chunk ends at its iteration {progress.iteration}")
            return progress
        return None

    def finished(self, batch: Batch) -> bool:
        """Whether a batch is trained to the end."""
        progress = self.progress(batch)
        return progress is not None and progress.iteration == batch.iterations

    def finished_at(self, batch: Batch) -> float:
        """When a finished batch was done, in seconds by the clock of the file system."""
        with self._using("read"):
            path = self.path / _record(batch)
            return (path if path.exists() else self.path / _note(batch)).stat().st_mtime

    def state(self, batch: Batch, progress: Progress | None = None) -> State:
        """The saved state of all lanes of a batch, by default the last one."""
        progress, lanes = progress or self._saved(batch), batch.lanes()
        shapes = jax.eval_shape(
            initialise, lanes.algorithm, lanes.environment, lanes.keys.init, lanes.shared, batch.iterations
        )
        try:
            state = read_state(self._state_file(batch, progress), shapes, progress.files)
        except InputError as error:
            raise self._damaged(batch, str(error)) from None
        expected = [progress.hashes.get(str(run.id)) for run in batch.runs]
        if lane_hashes(state, range(len(batch.runs))) != expected:
            raise self._damaged(batch, "its state was altered: the hashes differ")
        return state

    def forget(self, batch: Batch) -> None:
        """Removes the note and the record of a batch, so that the batch is trained again."""
        with self._using("written"):
            for name in (_note(batch), _record(batch)):
                (self.path / name).unlink(missing_ok=True)

    def reopen_batch(self, batch: Batch) -> None:
        """Turns the record of a smaller budget into a note, so that the batch is trained further."""
        with self._using("written"):
            record = self.path / _record(batch)
            if record.exists() and not self.finished(batch):
                os.replace(record, self.path / _note(batch))

    def _drop_note(self, batch: Batch) -> None:
        """Removes the note of a batch that has a record."""
        with self._using("written"):
            if (self.path / _record(batch)).exists():
                (self.path / _note(batch)).unlink(missing_ok=True)

    def require_whole(self, batch: Batch) -> None:
        """Raises InputError unless the file of a batch's saved state is as it was written."""
        progress = self._saved(batch)
        try:
            with reading(self._state_file(batch, progress), progress.files):
                pass
        except InputError as error:
            raise self._damaged(batch, str(error)) from None

    def _saved(self, batch: Batch) -> Progress:
        """The progress of a batch. Raises InputError if nothing of it was saved."""
        progress = self.progress(batch)
        if progress is None:
            raise self._damaged(batch, "its checkpoint is missing")
        return progress

    def _require_state(self, batch: Batch) -> None:
        """Raises InputError if the saved state of a batch has been deleted."""
        if not self._state_file(batch, self._saved(batch)).exists():
            raise self._damaged(batch, "its state is missing")

    def _state_file(self, batch: Batch, progress: Progress) -> Path:
        return self._state_path(batch, progress.iteration, progress.writer)

    def _state_path(self, batch: Batch, iteration: int, writer: str) -> Path:
        name = "-".join(filter(None, (_name(batch), f"{iteration:010d}", writer)))
        return self.path / "checkpoints" / f"{name}.safetensors"

    def _damaged(self, batch: Batch, what: str) -> InputError:
        first, last = batch.runs[0].id, batch.runs[-1].id
        return InputError(
            f"batch {batch.index} of {self.path} (runs {first} to {last}) is damaged: {what}; "
            f"train it again with: {command('resume', self.path, '--rerun', batch.index)}"
        )

    @contextlib.contextmanager
    def _using(self, how: str) -> Iterator[None]:
        """Turns an OSError, such as that of a full disk, into an InputError with the remedy.

        Raises InputError before anything is written through a link.
        """
        try:
            with self._writing:
                if self._abandoned.is_set():
                    raise KeyboardInterrupt
                for name in (LOCK, *FOLDERS) if how == "written" else ():
                    require_no_link(self.path / name)
                yield
        except OSError as error:
            held = how == "written" and os.path.exists(self.path / "manifest.json")
            then = f"; once it can be, continue with: {command(self.continued_by, self.path)}" if held else ""
            raise InputError(f"{self.path} cannot be {how}: {error.strerror or error}{then}") from None

    def _write_json(self, name: str, values: Mapping[str, Any], only_if_absent: bool = False) -> None:
        write_text(self.path / name, json.dumps(values, indent=2), only_if_absent)


def _name(batch: Batch) -> str:
    return f"batch-{batch.index:05d}"


def _record(batch: Batch) -> str:
    return f"checkpoints/{_name(batch)}.json"


def _note(batch: Batch) -> str:
    return f"checkpoints/{_name(batch)}.under-way.json"
