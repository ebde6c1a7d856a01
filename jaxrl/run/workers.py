"""Threads, one for each mesh of devices. Each trains one waiting group of batches after another."""

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence

from jax.sharding import Mesh

from jaxrl.compiled.host_errors import explained, told_once
from jaxrl.run.callbacks import Callback, all_of
from jaxrl.run.interruption import Stopped, interruptible
from jaxrl.run.loop import train_batches
from jaxrl.run.progress import progress_shown
from jaxrl.store.folder import Folder
from jaxrl.store.remedy import how_to_continue
from jaxrl.study.batch import Batch
from jaxrl.study.placement import MeshBatches, place_batches
from jaxrl.study.plan import Plan
from jaxrl.study.study import Study


def train_plan(
    study: Study,
    plan: Plan,
    folder: Folder,
    checkpoint_every: float | None,
    callbacks: Sequence[Callback],
    then: str,
) -> None:
    """Trains every batch of a plan to its end, on all meshes at once.

    Raises Stopped, a KeyboardInterrupt, if a signal or a callback stopped it. `then` says how to go on.
    """
    waiting, failures = queue.SimpleQueue[tuple[Batch, ...]](), list[BaseException]()

    def work(mesh: Mesh) -> None:
        try:
            with contextlib.suppress(queue.Empty):
                while not stop.is_set():
                    for members in _alike(waiting.get_nowait(), folder, stop):
                        group = MeshBatches(members, mesh)
                        train_batches(
                            study, group, folder, checkpoint_every, stop, callback, shown.evaluating
                        )
        except BaseException as failure:
            failures.append(explained(failure))
            stop.set()

    with interruptible() as stop, told_once():
        try:
            left, iterations = unfinished(plan, folder)
            groups, meshes = place_batches(left, iterations, plan.multi_device)
            for members in groups:
                waiting.put(members)
            with progress_shown(plan.steps, steps_done(plan, left, iterations)) as shown:
                callback = all_of([shown, *callbacks])
                workers = [threading.Thread(target=work, args=(mesh,), daemon=True) for mesh in meshes]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    while worker.is_alive():  # a join without a timeout may sleep through a signal
                        worker.join(timeout=0.1)
                        shown.tick()
        except KeyboardInterrupt:  # the second one
            folder.abandon()
            raise Stopped(f"stopped at once; {then}", stop.signal) from None
    if failures:
        raise failures[0]
    if stop.is_set():
        folder.abandon()
        raise Stopped(f"stopped; {then}", stop.signal)


def train_here(
    study: Study,
    plan: Plan,
    folder: Folder,
    checkpoint_every: float | None,
    callbacks: Sequence[Callback],
) -> None:
    """Trains every batch of a plan with the devices of this process, and finishes the study."""
    train_plan(study, plan, folder, checkpoint_every, callbacks, how_to_continue(study, folder))
    folder.finish(study, plan.batches)


def _alike(batches: Sequence[Batch], folder: Folder, stop: threading.Event) -> Iterator[tuple[Batch, ...]]:
    """Batches that have reached the same iteration, until all are done: another worker may train some."""
    while not stop.is_set():
        groups: dict[int | None, list[Batch]] = {}
        for batch in batches:
            progress = folder.progress(batch)
            if progress is None or progress.iteration < batch.iterations:
                groups.setdefault(None if progress is None else progress.iteration, []).append(batch)
        if not groups:
            return
        yield tuple(next(iter(groups.values())))


def unfinished(plan: Plan, folder: Folder) -> tuple[list[Batch], list[int | None]]:
    """The unfinished batches, and the iteration that each has reached. Checks the states of the others."""
    left, iterations = list[Batch](), list[int | None]()
    for batch in plan.batches:
        if folder.finished(batch):
            folder.require_whole(batch)
        else:
            progress = folder.progress(batch)
            left.append(batch)
            iterations.append(None if progress is None else progress.iteration)
    return left, iterations


def steps_done(plan: Plan, left: Sequence[Batch], iterations: Sequence[int | None]) -> int:
    """The environment steps that the runs of all batches have made."""
    missing = sum(
        (batch.iterations - (iteration or 0)) * batch.steps_per_iteration * len(batch.runs)
        for batch, iteration in zip(left, iterations, strict=True)
    )
    return plan.steps - missing
