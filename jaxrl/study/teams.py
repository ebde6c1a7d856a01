"""Teams: batches of one program that are trained side by side, one on each device of a mesh."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import jax
from jax.sharding import Mesh

from jaxrl.compiled.mesh import lane_mesh, replicated, shard_of, side_by_side
from jaxrl.study.batch import Batch, Lanes
from jaxrl.study.study import Run


@dataclasses.dataclass(frozen=True)
class Team:
    """Batches of one program, one for each device of a mesh; the last is repeated on those that are left."""

    batches: tuple[Batch, ...]
    mesh: Mesh

    @classmethod
    def alone(cls, batch: Batch) -> Self:
        """One batch, on one device."""
        return cls((batch,), lane_mesh(jax.local_devices()[:1]))

    def lanes(self) -> Lanes:
        """The lanes of all its batches: [devices * width], sharded; shared arrays are on every device."""
        each = [batch.lanes() for batch in self.batches]
        algorithm, environment, keys = self.join([lanes[:3] for lanes in each])
        return Lanes(algorithm, environment, keys, replicated(each[0].shared, self.mesh))

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
