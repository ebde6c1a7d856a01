"""The plan: a study's runs -> programs -> batches of one fixed width.

A program is what one compilation serves: all runs whose (environment, algorithm) have the same tree
structure, static fields included. A batch is a program executed on exactly `width` lanes of one device;
the bits of a run depend on that width, but neither on its lane, nor on its neighbours, nor on how many
devices share the batches.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, random

from jaxrl.algorithm import Algorithm
from jaxrl.config import stack
from jaxrl.environment import Environment
from jaxrl.errors import InputError
from jaxrl.generators import GENERATORS
from jaxrl.memory import LaneBytes, device_budget, lane_bytes, most_lanes, shown_bytes
from jaxrl.study import Run, Study, require_count
from jaxrl.text import counted


@dataclasses.dataclass(frozen=True)
class Batch:
    """Runs of one program, at most one a lane; the last one fills the lanes that are left."""

    index: int
    width: int
    runs: tuple[Run, ...]

    def lanes(self, prng: str) -> tuple[Algorithm, Environment, Array, Array]:
        """Of all lanes, stacked: algorithms, environments, keys of training, keys of evaluation. [lanes]"""
        padded = [*self.runs, *[self.runs[-1]] * (self.width - len(self.runs))]
        seeds = np.asarray([run.seed for run in padded], np.uint32)
        algorithm = stack([run.algorithm for run in padded])
        return algorithm, stack([run.environment for run in padded]), *keys_of(seeds, prng)


@partial(jax.jit, static_argnames="prng")
def keys_of(seeds: Array, prng: str) -> tuple[Array, Array]:
    """Each seed's keys of training and of evaluation: [lanes] each. They depend on nothing else."""
    keys = jax.vmap(random.fold_in, (None, 0))(random.key(0, impl=GENERATORS[prng]), seeds)
    keys = jax.vmap(random.split)(keys)
    return keys[:, 0], keys[:, 1]


@dataclasses.dataclass(frozen=True)
class Plan:
    programs: int
    width: int  # lanes of a batch
    batches: tuple[Batch, ...]
    devices: int  # which train batches side by side
    lane: LaneBytes  # of the program that takes the most
    steps: int  # environment steps of all runs together

    def __str__(self) -> str:
        runs = sum(len(batch.runs) for batch in self.batches)
        together = min(self.devices, len(self.batches))
        lanes = self.width * together
        sizes = f"{shown_bytes(lanes * self.lane.total)}, {shown_bytes(lanes * self.lane.state)} of it states"
        parts = (
            counted(runs, "run"),
            counted(self.programs, "program"),
            f"{counted(len(self.batches), 'batch')} of width {self.width}",
            *([f"{together} at a time"] if together > 1 else []),
            f"about {sizes}",
            counted(self.steps, "environment step"),
        )
        return ", ".join(parts)


def make_plan(study: Study, width: int | None = None, memory: int | None = None) -> Plan:
    """Groups a study's runs into programs and these into batches for all local devices.

    `memory` is what the lanes of one device may take, in bytes: by default half of what the processor
    has free, or most of a GPU's memory. Without a `width`, the least that serves the largest program in
    as few batches a device as `most_lanes` allows.
    Raises InputError for a width below 1, or lanes that do not fit the memory.
    """
    groups = list(_groups(study).values())
    programs = {jax.tree.structure(members[0][1:3]): members[0] for members in groups}
    needed = [lane_bytes(run, study.evaluation_episodes) for run in programs.values()]
    lane = max(needed, key=lambda each: each.total)
    limit, devices = device_budget() if memory is None else memory, jax.local_device_count()
    least = 1 if width is None else require_count("width", width)
    if least * lane.total > limit:
        raise InputError(
            f"{counted(least, 'lane')} of about {shown_bytes(lane.total)} would take more than the memory of "
            f"{shown_bytes(limit)}; choose a smaller width or give more memory"
        )
    if width is None:
        share = math.ceil(max(map(len, groups)) / devices)  # of a program's runs, for each device
        width = math.ceil(share / math.ceil(share / most_lanes(lane, limit)))
    steps = sum(len(members) * study.steps_of(members[0].algorithm) for members in groups)
    return Plan(len(programs), width, make_batches(study, width), devices, lane, steps)


def make_batches(study: Study, width: int) -> tuple[Batch, ...]:
    """The batches of a study: those of an extension follow those that were there before."""
    parts = [
        members[i : i + width] for members in _groups(study).values() for i in range(0, len(members), width)
    ]
    return tuple(Batch(index, width, tuple(part)) for index, part in enumerate(parts))


def _groups(study: Study) -> dict[Any, list[Run]]:
    """The runs of each program in each block of seeds, block after block."""
    groups: dict[Any, list[Run]] = {}
    for run in study.runs():
        program = jax.tree.structure((run.environment, run.algorithm))
        groups.setdefault((run.block, program), []).append(run)
    return groups
