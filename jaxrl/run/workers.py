import contextlib
import queue
import threading

import jax
import numpy as np
from jax.sharding import Mesh

from jaxrl.errors import InputError
from jaxrl.run.interruption import interruptible
from jaxrl.run.loop import (
    train_team,
)
from jaxrl.run.progress import Progressed, progress_bar
from jaxrl.store.folder import Folder
from jaxrl.study.batch import Batch
from jaxrl.study.plan import Plan
from jaxrl.study.study import Study
from jaxrl.study.teams import Team, make_teams


def train_plan(study: Study, plan: Plan, folder: Folder, checkpoint_every: float | None) -> None:
    """Trains what is left of each batch, team by team on the meshes, and finishes the study."""
    waiting, failures = queue.SimpleQueue[tuple[Batch, ...]](), list[BaseException]()

    def work(mesh: Mesh) -> None:
        try:
            with contextlib.suppress(queue.Empty):
                while not stop.is_set():
                    team = Team(waiting.get_nowait(), mesh)
                    train_team(study, team, folder, checkpoint_every, stop, progressed)
        except jax.errors.JaxRuntimeError as failure:
            failures.append(_from_callback(failure))
            stop.set()
        except BaseException as failure:
            failures.append(failure)
            stop.set()

    with interruptible() as stop, progress_bar(plan.steps) as progressed:
        try:
            teams, meshes = make_teams(*_unfinished(study, plan, folder, progressed), plan.shared)
            for members in teams:
                waiting.put(members)
            workers = [threading.Thread(target=work, args=(mesh,), daemon=True) for mesh in meshes]
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():  # a join without end would sleep on if another thread got the signal
                    worker.join(timeout=0.1)
        except KeyboardInterrupt:  # the second one
            folder.abandon()
            raise KeyboardInterrupt(f"stopped at once; continue with: jaxrl resume {folder.path}") from None
    if failures:
        raise failures[0]
    if stop.is_set():
        raise KeyboardInterrupt(f"stopped; continue with: jaxrl resume {folder.path}")
    folder.finish(study, plan.batches)


def _unfinished(
    study: Study, plan: Plan, folder: Folder, progressed: Progressed
) -> tuple[list[Batch], list[int | None]]:
    """The batches that are left, and how far each of them is. The states of the others are checked."""
    left, iterations = list[Batch](), list[int | None]()
    for batch in plan.batches:
        if folder.finished(study, batch):
            folder.state(batch, study.prng)  # or else damage would be noticed only when somebody wants it
            progressed(len(batch.runs) * study.steps_of(batch.runs[0].algorithm), np.empty(0))
        else:
            progress = folder.progress(batch)
            left.append(batch)
            iterations.append(None if progress is None else progress.iteration)
    return left, iterations


def _from_callback(failure: jax.errors.JaxRuntimeError) -> Exception:
    """The InputError that an environment raised on the host, whose text XLA keeps; else the failure."""
    _, found, text = str(failure).partition(f"{InputError.__name__}: ")
    return InputError(text.splitlines()[0]) if found else failure
