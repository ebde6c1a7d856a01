"""The saved states of batches in a results folder, and the progress of each batch."""

import contextlib
import dataclasses
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import jax

from jaxrl.compiled.engine import initialise
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import State
from jaxrl.store.files import read_text, reading, require_no_link, subfolder, write_text
from jaxrl.store.manifest import KINDS
from jaxrl.store.states import lane_hashes, read_state, write_state
from jaxrl.study.batch import Batch
from jaxrl.text import command

LOCK = ".lock"
FOLDERS = ("parts", "checkpoints", "shared")  # in a results folder


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a batch."""

    iteration: int  # of the saved state
    files: str  # hash of the state's file
    hashes: dict[str, str]  # run -> hash of its state
    seconds: dict[str, float]  # spent so far, by KINDS
    failed: dict[str, tuple[int, str]]  # run -> iteration and metric where it was first not finite

    @classmethod
    def read(cls, text: str) -> Self:
        """The progress in a JSON text. Raises ValueError, KeyError, TypeError or AttributeError."""
        values = json.loads(text)
        failed = {str(int(run)): (int(at), str(metric)) for run, (at, metric) in values["failed"].items()}
        progress = cls(**(values | {"failed": failed}))
        typed: list[tuple[Any, type]] = [(progress.iteration, int), (progress.files, str)]
        typed += [(value, str) for value in progress.hashes.values()]
        typed += [(progress.seconds[kind], float) for kind in KINDS]
        if not all(type(value) is kind for value, kind in typed):
            raise TypeError
        if not all(0 <= progress.seconds[kind] < math.inf for kind in KINDS):
            raise ValueError
        return progress


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The saved states in a results folder. Raises InputError where a file cannot be read or written."""

    path: Path
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
    ) -> None:
        """Replaces the saved state of a batch by its state after `iteration`.

        `failed` (run -> iteration, metric) may hold runs of other batches; they are left out.
        """
        start, before = time.monotonic(), None
        path = self._state_path(batch, iteration)
        ids = [str(run.id) for run in batch.runs]
        hashes = lane_hashes(state, range(len(ids)))
        with self._using("written"):
            subfolder(self.path, "checkpoints")
            with contextlib.suppress(InputError):  # a damaged note is replaced
                before = self.progress(batch)
            files = write_state(path, state)
            progress = Progress(
                iteration,
                files,
                dict(zip(ids, hashes, strict=True)),
                {**seconds, "save": seconds["save"] + time.monotonic() - start},
                {run: where for run, where in failed.items() if run in ids},
            )
            self._write_json(f"checkpoints/{_name(batch)}.json", dataclasses.asdict(progress))
            if before is not None and before.iteration != iteration:
                self._state_path(batch, before.iteration).unlink(missing_ok=True)

    def progress(self, batch: Batch) -> Progress | None:
        """The progress of a batch; None if nothing of it was saved."""
        file = self.path / "checkpoints" / f"{_name(batch)}.json"
        try:
            progress = Progress.read(read_text(file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._damaged(batch, f"{file} cannot be read") from None
        if progress.iteration not in {chunk.stop for chunk in batch.chunks}:
            raise self._damaged(batch, f"no chunk ends at its iteration {progress.iteration}")
        return progress

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
        """Removes the note of a batch's progress, so that the batch is trained again."""
        with self._using("written"):
            (self.path / "checkpoints" / f"{_name(batch)}.json").unlink(missing_ok=True)

    def require_whole(self, batch: Batch) -> None:
        """Raises InputError unless the file of a batch's saved state is as it was written."""
        progress = self._saved(batch)
        try:
            with reading(self._state_path(batch, progress.iteration), progress.files):
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
        if not self._state_path(batch, self._saved(batch).iteration).exists():
            raise self._damaged(batch, "its state is missing")

    def _state_path(self, batch: Batch, iteration: int) -> Path:
        return self.path / "checkpoints" / f"{_name(batch)}-{iteration:010d}.safetensors"

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
            under_way = how == "written" and os.path.exists(self.path / "manifest.json")
            then = f"; once it can be, continue with: {command('resume', self.path)}" if under_way else ""
            raise InputError(f"{self.path} cannot be {how}: {error.strerror or error}{then}") from None

    def _write_json(self, name: str, values: Mapping[str, Any]) -> None:
        write_text(self.path / name, json.dumps(values, indent=2))


def _name(batch: Batch) -> str:
    return f"batch-{batch.index:05d}"
