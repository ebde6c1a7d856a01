"""Training on a Ray cluster: warm workers are handed one batch after another.

The truth lies in the results folder, which all workers share: see `jaxrl.store.sharing`. So a worker, or the
driver that hands out batches, may end at any moment. What is lost is the time since the last checkpoints.
"""

import collections
import contextlib
import importlib
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jaxrl.compiled.cores import count_cores
from jaxrl.errors import InputError, with_urls
from jaxrl.run.callbacks import Callback, ChunkReport, all_of
from jaxrl.run.interruption import Stopped, StopRequest, interruptible
from jaxrl.run.progress import Display, progress_shown, say
from jaxrl.run.ray_worker import Told, Worker
from jaxrl.run.workers import steps_done, unfinished
from jaxrl.store.folder import Folder
from jaxrl.store.sharing import PATIENCE, finish_together
from jaxrl.study.batch import Batch
from jaxrl.study.plan import Plan
from jaxrl.study.study import Study
from jaxrl.text import command, counted

MOST_DEATHS = 3  # of workers, one after the other, with the same batch and no checkpoint between them


class Cluster(NamedTuple):
    """A Ray cluster with the number of workers that may train on it."""

    name: str  # "ray" or "ray:8"
    ray: Any  # the module
    workers: int
    on_gpu: bool  # whether each of them has a GPU, or else a core


@contextlib.contextmanager
def cluster_for(workers: str | None) -> Iterator[Cluster | None]:
    """The cluster for `workers`, which is "ray" or "ray:8": that of RAY_ADDRESS, or one on this machine.

    There is none if `workers` is None. Raises InputError for another value, without Ray, without a cluster
    that answers, or for more workers than there are GPUs or cores.
    """
    if workers is None:
        yield None
        return
    if not (named := re.fullmatch(r"ray(?::([1-9]\d*))?", str(workers))):
        raise InputError(f"workers must be ray or ray:N with N >= 1, such as ray:8, got {workers!r}")
    ray = _imported()
    ours = not ray.is_initialized()
    if ours:
        here = {} if os.environ.get("RAY_ADDRESS") else {"address": "local", "num_cpus": count_cores()}
        try:
            with warnings.catch_warnings():
                # Ray forks to start its own programs, which do not use jax.
                warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
                ray.init(**here, include_dashboard=False, log_to_driver=False, configure_logging=False)
        except Exception as error:  # Ray has no class of its own for all of them
            why = str(error).partition("\n")[0]
            where = os.environ.get("RAY_ADDRESS", "this machine")
            raise InputError(f"no Ray cluster answers at {where}: {why}") from None
    try:
        there = ray.cluster_resources()
        on_gpu = int(there.get("GPU", 0)) > 0 and os.environ.get("JAX_PLATFORMS", "") != "cpu"
        most, unit = (int(there.get("GPU", 0)), "GPUs") if on_gpu else (int(there.get("CPU", 0)), "cores")
        if most == 0:
            raise InputError("no worker can start: the Ray cluster has no cores; add a node that has some")
        wanted = int(named[1] or most)
        if wanted > most:
            raise InputError(f"workers must be at most the {most} {unit} of the Ray cluster, got {wanted}")
        yield Cluster(workers, ray, wanted, on_gpu)
    finally:
        if ours:
            ray.shutdown()


def _imported() -> Any:
    """The module ray. Raises InputError, with the extra to install, if it is missing."""
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise InputError("workers=ray needs Ray, which is not installed: pip install -e '.[ray]'") from None


def train_on_ray(
    cluster: Cluster,
    study: Study,
    plan: Plan,
    folder: Folder,
    checkpoint_every: float | None,
    callbacks: Sequence[Callback],
    force: bool = False,
) -> None:
    """Trains every batch of a plan on the workers of a cluster, and finishes the study.

    Raises Stopped, a KeyboardInterrupt, if a signal or a callback stopped it.
    """
    alike = ("--workers", cluster.name) if folder.continued_by == "resume" else ()
    then = f"continue with: {command(folder.continued_by, folder.path, *alike)}"
    left, iterations = unfinished(plan, folder)
    started = counted(min(cluster.workers, len(left)), "Ray worker")
    idle = "" if len(left) >= cluster.workers else "; a smaller width would make batches for more"
    say(f"{started}, each with a {'GPU' if cluster.on_gpu else 'core'}{idle}")
    settings = (with_urls(folder.path.absolute()), force, checkpoint_every, cluster.on_gpu)
    with interruptible() as stop, progress_shown(plan.steps, steps_done(plan, left, iterations)) as shown:
        driver = Driver(cluster, settings, left, folder, stop, all_of([shown, *callbacks]))
        try:
            driver.run(shown)
        except KeyboardInterrupt:  # the second one
            raise Stopped(f"stopped at once; {then}", stop.signal) from None
        finally:
            driver.end()
    if driver.failures:
        raise driver.failures[0]
    if stop.is_set():
        raise Stopped(f"stopped; {then}", stop.signal)
    finish_together(folder, study, plan.batches, PATIENCE)


class Driver:
    """Hands out batches to workers, and starts a new worker for each one that dies with a batch.

    A worker that does not answer, such as one for which the cluster has no place yet, gets no batch.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: tuple[Any, ...],
        batches: Sequence[Batch],
        folder: Folder,
        stop: StopRequest,
        callback: Callback,
    ) -> None:
        self.ray, self.folder, self.stop, self.callback = cluster.ray, folder, stop, callback
        resources = {"num_gpus": 1} if cluster.on_gpu else {"num_cpus": 1}
        self.start = cluster.ray.remote(Worker).options(max_concurrency=3, **resources)
        self.settings = settings
        self.batches = {batch.index: batch for batch in batches}
        self.waiting = collections.deque(self.batches)
        self.training: dict[Any, tuple[Any, int]] = {}  # call of Worker.train -> worker, batch
        self.polls: dict[Any, Any] = {}  # call of Worker.reports -> worker; each worker has one
        self.told = set[tuple[int, int]]()  # batch and step of each report
        self.deaths = collections.Counter[tuple[int, int]]()  # by batch and iteration of its checkpoint
        self.failures: list[BaseException] = []
        for _ in range(min(cluster.workers, len(batches))):
            self._start_worker()

    def run(self, shown: Display) -> None:
        """Returns when all batches are done, or when all workers have stopped because they were asked to."""
        asked = False
        while self.training or (self.waiting and not self.stop.is_set()):
            for call in self._answered():
                if call in self.training:
                    self._trained(call)
                elif call in self.polls:
                    self._polled(call)
            done = len(self.batches) - len(self.waiting) - len(self.training)
            batches = f"{done} of {counted(len(self.batches), 'batch')}"
            shown.pace.elsewhere = f"{batches}, {counted(len(self.polls), 'worker')}"
            shown.tick()
            if self.stop.is_set() and not asked:
                asked = True
                for worker, _ in self.training.values():
                    worker.stop.remote()
        polls = [*self.polls]  # one may have the last report of its worker's batch
        for call in self.ray.wait(polls, num_returns=len(polls), timeout=0.1)[0]:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self._tell(self.ray.get(call))

    def _answered(self) -> list[Any]:
        """The calls with an answer, after at most 0.1 s. Reports come before the ends of their batches."""
        calls = [*self.polls, *self.training]
        self.ray.wait(calls, num_returns=1, timeout=0.1)
        return [*self.ray.wait(calls, num_returns=len(calls), timeout=0)[0]]

    def end(self) -> None:
        """Ends all workers, also those that still train."""
        for worker in self.polls.values():
            self.ray.kill(worker)

    def _start_worker(self) -> None:
        worker = self.start.remote(*self.settings)
        self.polls[worker.reports.remote(0.0)] = worker

    def _hand_out(self, worker: Any) -> None:
        """Gives a batch to a worker that has none, if one is waiting."""
        busy = any(worker == each for each, _ in self.training.values())
        if self.waiting and not busy and not self.stop.is_set():
            index = self.waiting.popleft()
            self.training[worker.train.remote(index)] = worker, index

    def _trained(self, call: Any) -> None:
        """Takes the end of a batch, or that of its worker."""
        worker, index = self.training.pop(call)
        try:
            self._tell(self.ray.get(call))
            self._hand_out(worker)
        except self.ray.exceptions.RayTaskError as error:
            self._fail(error.cause or error)
        except self.ray.exceptions.RayError:
            self.polls = {poll: each for poll, each in self.polls.items() if each != worker}
            self.ray.kill(worker)  # it may only be out of reach
            self.waiting.appendleft(index)
            self.folder.refresh()
            progress = self.folder.progress(self.batches[index])
            at = (index, progress.iteration if progress else 0)
            self.deaths[at] += 1
            if self.deaths[at] < MOST_DEATHS:
                self._start_worker()
                return
            self._fail(
                InputError(
                    f"{MOST_DEATHS} workers have ended while they trained batch {index} from iteration "
                    f"{at[1]}; choose a smaller width, or workers with more memory"
                )
            )

    def _polled(self, call: Any) -> None:
        """Takes the reports of a worker. One that has died is forgotten; `_trained` hears of its batch."""
        worker = self.polls.pop(call)
        try:
            self._tell(self.ray.get(call))
            self._hand_out(worker)
            self.polls[worker.reports.remote()] = worker
        except self.ray.exceptions.RayError as error:
            if not self.polls and not self.training:
                why = str(error).strip().splitlines()[-1].strip()
                self._fail(InputError(f"no Ray worker is left; the last one ended with: {why}"))

    def _tell(self, told: Sequence[Told]) -> None:
        """Calls the callbacks, once for each chunk: a worker may repeat those of one that died."""
        for each in told:
            if (each.batch, each.step) in self.told:
                continue
            self.told.add((each.batch, each.step))
            runs = self.batches[each.batch].runs
            if self.callback(ChunkReport(runs, each.step, each.advanced, each.metrics)):
                self.stop.set()

    def _fail(self, error: BaseException) -> None:
        """Lets the other workers save before the error is raised."""
        self.failures.append(error)
        self.stop.set()
