"""A worker of a Ray cluster: a process that trains one batch after another."""

import contextlib
import os
import platform
import queue
import secrets
import threading
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from jaxrl.compiled.compilation_cache import enable_compilation_cache
from jaxrl.compiled.host_errors import explained
from jaxrl.errors import InputError
from jaxrl.run.callbacks import Callback
from jaxrl.run.loop import train_batches
from jaxrl.store.sharing import beside_others
from jaxrl.store.working_copy import opened
from jaxrl.study.batch import Batch
from jaxrl.study.placement import MeshBatches
from jaxrl.study.plan import make_batches

POLL = 1.0  # seconds for which a worker waits for a report


class Told(NamedTuple):
    """A `ChunkReport` on the way to the driver, which knows the runs of the batch."""

    batch: int
    step: int
    advanced: int
    metrics: dict[str, np.ndarray]


class Worker:
    """An actor with one device. It keeps its compiled programs from one batch to the next.

    Three threads serve it: one trains, one waits for reports, one takes the request to stop.
    """

    def __init__(self, path: str, force: bool, checkpoint_every: float | None, on_gpu: bool) -> None:
        self.folder = opened(path, writer=secrets.token_hex(4))
        self.force, self.checkpoint_every = force, checkpoint_every
        self.stopping, self.told = threading.Event(), queue.SimpleQueue[Told]()
        self.entered = contextlib.ExitStack()
        self.batches: tuple[Batch, ...] = ()
        if not on_gpu:
            jax.config.update("jax_num_cpu_devices", 1)
            os.environ["NPROC"] = "1"  # XLA would start a thread for each core of the machine
        enable_compilation_cache()

    def train(self, index: int) -> list[Told]:
        """Trains a batch until it is done or shall stop. Returns the reports that nobody has asked for."""
        try:
            self._enter()
            batch = self.batches[index]
            if not self.folder.finished(batch):
                callback = self._tell(index)
                group, every = MeshBatches.alone(batch), self.checkpoint_every
                train_batches(self.study, group, self.folder, every, self.stopping, callback)
        except Exception as error:
            told = explained(error)
            if isinstance(told, InputError):
                raise InputError(f"worker on host {platform.node()}: {told}") from None
            raise
        return [*self._waiting()]

    def _enter(self) -> None:
        """Shares the folder with other workers until this process ends."""
        if not self.batches:
            self.study = self.entered.enter_context(beside_others(self.folder, self.force))
            self.batches = make_batches(self.study, self.folder.manifest()["plan"]["width"])

    def reports(self, wait: float = POLL) -> list[Told]:
        """The reports since the last call, as soon as there is one, or nothing after `wait` seconds."""
        with contextlib.suppress(queue.Empty):
            return [self.told.get(timeout=wait), *self._waiting()]
        return []

    def stop(self) -> None:
        """Asks for a stop after the chunk under way."""
        self.stopping.set()

    def _tell(self, index: int) -> Callback:
        return lambda report: self.told.put(Told(index, report.step, report.advanced, dict(report.metrics)))

    def _waiting(self) -> Iterator[Told]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield self.told.get_nowait()
