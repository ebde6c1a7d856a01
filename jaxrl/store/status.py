"""How far the study in a results folder is, while it may be trained by other processes."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

from jaxrl.store.checkpoints import Progress
from jaxrl.store.folder import Folder
from jaxrl.study.batch import Batch
from jaxrl.study.plan import make_batches
from jaxrl.text import counted, duration

PACE, ENOUGH = 20, 5  # the most and the fewest of the last batches that say how fast a study goes on


@dataclasses.dataclass(frozen=True)
class Status:
    """How far a study is."""

    complete: bool  # whether all batches are done and the tables are joined
    in_use: bool | None  # whether a process trains or finishes it now; None if the folder is not ours
    batches: int
    done: int  # batches
    begun: int  # batches that were saved and are not done
    failed: int  # runs so far
    steps: int  # environment steps of all runs
    steps_done: int  # those that are saved
    training_left: float  # seconds, one batch after the other; NaN if nothing was saved
    time_left: float  # seconds at the pace of the last PACE batches; NaN if fewer than ENOUGH are done

    @classmethod
    def of(cls, folder: Folder) -> Self:
        """The status of the study in a folder. Raises InputError if there is none or a batch is damaged."""
        manifest, study = folder.manifest(), folder.study()
        batches = make_batches(study, manifest["plan"]["width"])
        found = [(batch, folder.progress(batch)) for batch in batches]
        done = [batch for batch, progress in found if progress and progress.iteration == batch.iterations]
        steps, steps_done = 0, 0
        for batch, progress in found:
            each = batch.steps_per_iteration * len(batch.runs)
            steps += each * batch.iterations
            steps_done += each * progress.iteration if progress else 0
        times = sorted(map(folder.finished_at, done))[-PACE:]
        pace = (times[-1] - times[0]) / (len(times) - 1) if len(times) >= ENOUGH else math.nan
        return cls(
            complete=manifest["status"] == "complete",
            in_use=folder.in_use(),
            batches=len(batches),
            done=len(done),
            begun=sum(progress is not None for _, progress in found) - len(done),
            failed=sum(len(progress.failed) for _, progress in found if progress),
            steps=steps,
            steps_done=steps_done,
            training_left=_training_left(found),
            time_left=pace * len(batches) * (1 - steps_done / steps),
        )

    def __str__(self) -> str:
        waiting = self.batches - self.done - self.begun
        lines = [
            f"{counted(self.batches, 'batch')}: {self.done:,} done, {self.begun:,} begun, "
            f"{waiting:,} waiting",
            f"{self.steps_done:,} of {counted(self.steps, 'environment step')}, "
            f"{counted(self.failed, 'failed run')}",
        ]
        if self.complete:
            return "\n".join([*lines, "complete"])
        if not math.isnan(self.training_left):
            lines.append(f"about {duration(self.training_left)} left, one batch after the other")
        if not math.isnan(self.time_left):
            lines.append(f"about {duration(self.time_left)} left at the pace of the last batches")
        said = {True: ["in training"], False: ["no process trains it"], None: []}
        return "\n".join(lines + said[self.in_use])


def _training_left(found: Sequence[tuple[Batch, Progress | None]]) -> float:
    """The seconds that the batches of a study still take, one after the other; NaN if nothing was saved.

    A batch takes as long as other batches of its program, or as others if there are none.
    """
    seconds, iterations = defaultdict[Any, float](float), defaultdict[Any, int](int)
    for batch, progress in found:
        if progress is not None:
            for key in (batch.runs[0].program, None):
                seconds[key] += sum(progress.seconds.values())
                iterations[key] += progress.iteration
    left = 0.0
    for batch, progress in found:
        key = batch.runs[0].program if iterations[batch.runs[0].program] else None
        each = seconds[key] / iterations[key] if iterations[key] else math.nan
        left += (batch.iterations - (progress.iteration if progress else 0)) * each
    return left
