"""The plan: a study's runs -> programs -> batches of one fixed width.

A program is what one compilation serves: all runs whose (environment, algorithm) have the same tree
structure, static fields included. A batch is a program executed on exactly `width` lanes of one device;
the bits of a run depend on that width, but neither on its lane, nor on its neighbours, nor on how many
devices the batches are trained. Those that are trained side by side, one on each device, are a team.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import jax
import numpy as np
from jax import Array, random
from jax.sharding import Mesh

from jaxrl.algorithm import Algorithm
from jaxrl.config import stack
from jaxrl.environment import Environment
from jaxrl.errors import InputError
from jaxrl.generators import GENERATORS
from jaxrl.memory import LaneNeeds, device_budget, lane_needs, most_lanes, shown_bytes
from jaxrl.mesh import lane_mesh, shard_of, side_by_side
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


@dataclasses.dataclass(frozen=True)
class Team:
    """Batches of one program, one for each device of a mesh; the last is repeated on those that are left."""

    batches: tuple[Batch, ...]
    mesh: Mesh

    @classmethod
    def alone(cls, batch: Batch) -> Self:
        """One batch, on one device."""
        return cls((batch,), lane_mesh(jax.local_devices()[:1]))

    def lanes(self, prng: str) -> tuple[Algorithm, Environment, Array, Array]:
        """As `Batch.lanes`, of all its batches: [devices * width], sharded."""
        return self.join([batch.lanes(prng) for batch in self.batches])

    def join(self, parts: Sequence[Any]) -> Any:
        """What is [width, ...] of each batch as [devices * width, ...], sharded over the mesh."""
        return side_by_side([*parts, *[parts[-1]] * (self.mesh.size - len(parts))], self.mesh)

    def split(self, state: Any) -> list[Any]:
        """Each batch's part, [width, ...], on its own device."""
        return [shard_of(state, place) for place in range(len(self.batches))]

    def run_in(self, lane: int) -> Run | None:
        """The run in a lane of the team; None where a lane only fills."""
        place, lane = divmod(lane, self.batches[0].width)
        runs = self.batches[place].runs if place < len(self.batches) else ()
        return runs[lane] if lane < len(runs) else None


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
    devices: int  # that are at work at once, those that only fill included
    shared: bool  # whether several may run one program together
    lane: LaneNeeds  # of the program that takes the most
    steps: int  # environment steps of all runs together

    def __str__(self) -> str:
        runs = sum(len(batch.runs) for batch in self.batches)
        together = min(self.devices, len(self.batches))
        lanes = self.width * self.devices
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
    programs = {members[0].program: members[0] for members in groups}
    needed = [lane_needs(run, study.evaluation_episodes) for run in programs.values()]
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
    batches = make_batches(study, width)
    # Callbacks into Python of devices that run one program would wait for each other for ever. And that one
    # program for several devices gives the bits of one device has been seen on processors alone.
    shared = jax.default_backend() == "cpu" and not any(each.host for each in needed)
    _, meshes = make_teams(batches, [None] * len(batches), shared)
    return Plan(len(programs), width, batches, sum(mesh.size for mesh in meshes), shared, lane, steps)


def make_batches(study: Study, width: int) -> tuple[Batch, ...]:
    """The batches of a study: those of an extension follow those that were there before."""
    parts = [
        members[i : i + width] for members in _groups(study).values() for i in range(0, len(members), width)
    ]
    return tuple(Batch(index, width, tuple(part)) for index, part in enumerate(parts))


def make_teams(
    batches: Sequence[Batch], iterations: Sequence[int | None], shared: bool
) -> tuple[list[tuple[Batch, ...]], list[Mesh]]:
    """Which batches are trained side by side, and on which of the local devices.

    A team's batches share a program and have reached the same of `iterations` (None: nothing saved). Any mesh
    may train any team. Unless `shared`, teams have one batch and meshes one device.
    """
    groups: dict[Any, list[Batch]] = {}
    for batch, iteration in zip(batches, iterations, strict=True):
        groups.setdefault((batch.runs[0].program, iteration), []).append(batch)
    devices = jax.local_devices()
    size = team_size([len(group) for group in groups.values()], len(devices)) if shared else 1
    teams = [tuple(group[i : i + size]) for group in groups.values() for i in range(0, len(group), size)]
    meshes = [lane_mesh(devices[i : i + size]) for i in range(0, len(devices) - size + 1, size)]
    return teams, meshes[: len(teams)]


def team_size(counts: Sequence[int], devices: int) -> int:
    """The size of teams with which all batches are done in the fewest rounds.

    The largest such, with which the least is compiled. `counts` are the numbers of batches that could be in
    one team, of each program and progress.
    """

    def rounds(size: int) -> int:
        return math.ceil(sum(math.ceil(count / size) for count in counts) / (devices // size))

    return min(range(1, min(devices, max(counts, default=1)) + 1), key=lambda size: (rounds(size), -size))


def _groups(study: Study) -> dict[Any, list[Run]]:
    """The runs of each program in each block of seeds, block after block."""
    groups: dict[Any, list[Run]] = {}
    for run in study.runs():
        groups.setdefault((run.block, run.program), []).append(run)
    return groups
