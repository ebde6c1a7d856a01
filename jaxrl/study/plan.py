"""The plan: groups a study's runs into programs, and the runs of each program into batches of one width.

A program is what one compilation serves: all runs whose (environment, algorithm) have the same tree
structure, static values and shared arrays included.
"""

import dataclasses
import math
from typing import Any

import jax

from jaxrl import registry
from jaxrl.compiled.lane_memory import LaneNeeds, device_budget, lane_needs, most_lanes, shown_bytes
from jaxrl.config import shared_bytes
from jaxrl.errors import InputError
from jaxrl.mdp.environment import Environment
from jaxrl.study.batch import Batch
from jaxrl.study.evaluations import MOST, OF_NETWORKS, steps_limit
from jaxrl.study.placement import place_batches
from jaxrl.study.seeds import MAX_COUNT, optional_count
from jaxrl.study.study import Run, Study
from jaxrl.text import counted


@dataclasses.dataclass(frozen=True)
class Plan:
    programs: int
    width: int  # lanes of a batch
    batches: tuple[Batch, ...]
    devices: int  # that work at once, including those that repeat a batch
    multi_device: bool  # whether one program may run on several devices at once
    lane: LaneNeeds  # of the program that needs the most memory
    steps: int  # environment steps of all runs together
    evaluations: int  # of each run; the most, where algorithms differ
    evaluation_steps: int  # the most that all evaluations together can take
    evaluation_limit: int | None  # after which an episode of evaluation is cut
    limited: tuple[str, ...]  # a sentence if there are few evaluations by default
    unreached: tuple[str, ...]  # sentences on what the budget never reaches

    def __str__(self) -> str:
        runs = sum(len(batch.runs) for batch in self.batches)
        together = min(self.devices, len(self.batches))
        lanes = self.width * self.devices
        memory, states = shown_bytes(lanes * self.lane.total), shown_bytes(lanes * self.lane.state)
        limit = self.evaluation_limit
        cut = "" if limit is None else f", of at most {counted(limit, 'step')} an episode"
        parts = (
            counted(runs, "run"),
            counted(self.programs, "program"),
            f"{counted(len(self.batches), 'batch')} of width {self.width}",
            *([f"{together} at a time"] if together > 1 else []),
            f"memory about {memory}, of which states {states}",
            counted(self.steps, "environment step"),
            f"at most {self.evaluation_steps:,} more in {self.evaluations:,} evaluations of each run{cut}",
        )
        return "\n".join([", ".join(parts), *self.limited, *self.unreached])


def make_plan(study: Study, width: int | None = None, memory: int | None = None) -> Plan:
    """Groups a study's runs into programs and these into batches for all local devices.

    `memory` is the number of bytes that shared arrays and the lanes of one device may take, by default
    `device_budget()`. The default `width` is the smallest with which the largest program needs as few batches
    per device as with `most_lanes`. Raises InputError for a width below 1, or if the lanes do not fit into
    the memory.
    """
    width = optional_count("width", width)
    groups = list(_groups(study).values())
    programs = {members[0].program: members[0] for members in groups}
    others = [environment for _, environment in study.evaluate_in]
    needed = [
        lane_needs(run.algorithm, run.environment, study.evaluation_episodes, others)
        for run in programs.values()
    ]
    lane = max(needed, key=lambda each: each.total)
    limit, devices = device_budget() if memory is None else memory, jax.local_device_count()
    configs = [config for run in programs.values() for config in (run.algorithm, run.environment)]
    least, arrays = width or 1, max(map(shared_bytes, [*configs, *others]))
    if least * lane.total + arrays > limit:
        beside = f" and {shown_bytes(arrays)} of shared arrays" if arrays else ""
        raise InputError(
            f"{counted(least, 'lane')} of about {shown_bytes(lane.total)}{beside} would take more than the "
            f"memory of {shown_bytes(limit)}; choose a smaller width or give more memory"
        )
    limit -= arrays
    if width is None:
        share = math.ceil(max(map(len, groups)) / devices)  # runs of the largest program for each device
        width = math.ceil(share / math.ceil(share / most_lanes(lane, limit)))
    batches = make_batches(study, width)
    steps = sum(len(batch.runs) * batch.iterations * batch.steps_per_iteration for batch in batches)
    # Devices that run one program would wait for each other's callbacks into Python for ever. That a program
    # for several devices gives the bits of one device has been tested on processors only.
    multi_device = jax.default_backend() == "cpu" and not any(each.host for each in needed)
    _, meshes = place_batches(batches, [None] * len(batches), multi_device)
    working = sum(mesh.size for mesh in meshes)
    return Plan(
        *(len(programs), width, batches, working, multi_device, lane, steps),
        evaluations=max(len(batch.chunks) for batch in batches),
        evaluation_steps=sum(most_evaluation_steps(study, batch) for batch in batches),
        evaluation_limit=study.evaluation_steps,
        limited=few_evaluations(study),
        unreached=never_reached(study),
    )


def most_evaluation_steps(study: Study, batch: Batch) -> int:
    """The environment steps of a batch's evaluations if every episode is as long as it may be."""

    def most(environment: Environment) -> int:
        return min(int(environment.max_steps), study.evaluation_steps or MAX_COUNT)

    others = sum(most(environment) for _, environment in study.evaluate_in)
    longest = sum(most(run.environment) + others for run in batch.runs)
    return longest * study.evaluation_episodes * len(batch.chunks)


def few_evaluations(study: Study) -> tuple[str, ...]:
    """A sentence if the default number of evaluations is below the most that it can be."""
    default = study.evaluated_by_default().evaluate_every
    if study.evaluate_every != default or study.more_steps or default == math.ceil(study.steps / MOST):
        return ()
    limit = "twice" if steps_limit(study.algorithms) == OF_NETWORKS else "half"
    return (
        f"a run is evaluated every {default:,} steps, since more evaluations could take more than {limit} as "
        "many steps as the training; evaluate_every sets another number",
    )


def never_reached(study: Study) -> tuple[str, ...]:
    """A sentence for each field of an algorithm, such as a warm-up, that its runs never get past."""
    waiting = {
        (registry.name_of(algorithm), name, algorithm.parameters()[name], steps)
        for algorithm in study.algorithms
        for steps in [study.steps_of(algorithm)]
        for name in algorithm.never_reached(steps)
    }
    return tuple(
        f"a run of {algorithm} has {counted(steps, 'step')} and never gets past {name}={value:,}: "
        f"give more steps or a smaller {name}"
        for algorithm, name, value, steps in sorted(waiting)
    )


def make_batches(study: Study, width: int) -> tuple[Batch, ...]:
    """The batches of a study. Those of an extension come after the earlier ones."""
    batches: list[Batch] = []
    for members in _groups(study).values():
        chunks = tuple(study.chunks(members[0].algorithm))
        for i in range(0, len(members), width):
            batches.append(Batch(len(batches), width, tuple(members[i : i + width]), chunks, study.prng))
    return tuple(batches)


def _groups(study: Study) -> dict[Any, list[Run]]:
    """The runs of each program in each block of seeds, block after block."""
    groups: dict[Any, list[Run]] = {}
    programs: dict[int, Any] = {}  # of the settings, since finding out that of each run would take long
    for run in study.runs():
        if run.setting not in programs:
            programs[run.setting] = run.program
        groups.setdefault((run.block, programs[run.setting]), []).append(run)
    return groups
