"""Placement: which batches are trained side by side, and on which devices."""

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
class MeshBatches:
    """Batches of one program that are trained side by side, one on each device of a mesh.

    If there are fewer batches than devices, the other devices repeat the last batch.
    """

    batches: tuple[Batch, ...]
    mesh: Mesh

    @classmethod
    def alone(cls, batch: Batch) -> Self:
        """One batch, on one device."""
        return cls((batch,), lane_mesh(jax.local_devices()[:1]))

    def lanes(self) -> Lanes:
        """The lanes of all batches: [devices * width], sharded. Every device holds the shared arrays."""
        each = [batch.lanes() for batch in self.batches]
        algorithm, environment, keys = self.join([lanes[:3] for lanes in each])
        return Lanes(algorithm, environment, keys, replicated(each[0].shared, self.mesh))

    def join(self, parts: Sequence[Any]) -> Any:
        """Each batch's tree [width, ...] as one tree [devices * width, ...], sharded over the mesh."""
        return side_by_side([*parts, *[parts[-1]] * (self.mesh.size - len(parts))], self.mesh)

    def split(self, state: Any) -> list[Any]:
        """Each batch's part, [width, ...], on its own device."""
        return [shard_of(state, place) for place in range(len(self.batches))]

    def run_in(self, lane: int) -> Run | None:
        """The run in a lane of the mesh; None where the lane only fills a batch or a device."""
        place, lane = divmod(lane, self.batches[0].width)
        runs = self.batches[place].runs if place < len(self.batches) else ()
        return runs[lane] if lane < len(runs) else None


def place_batches(
    batches: Sequence[Batch], iterations: Sequence[int | None], multi_device: bool
) -> tuple[list[tuple[Batch, ...]], list[Mesh]]:
    """The groups of batches that are trained side by side, and the meshes of local devices that train them.

    The batches of a group share a program and have reached the same iteration; `iterations` holds None for a
    batch without a checkpoint. Any mesh may train any group. Without `multi_device`, each group is one batch
    and each mesh one device.
    """
    alike: dict[Any, list[Batch]] = {}
    for batch, iteration in zip(batches, iterations, strict=True):
        alike.setdefault((batch.runs[0].program, iteration), []).append(batch)
    devices = jax.local_devices()
    size = batches_per_mesh([len(each) for each in alike.values()], len(devices)) if multi_device else 1
    groups = [tuple(each[i : i + size]) for each in alike.values() for i in range(0, len(each), size)]
    meshes = [lane_mesh(devices[i : i + size]) for i in range(0, len(devices) - size + 1, size)]
    return groups, meshes[: len(groups)]


def batches_per_mesh(counts: Sequence[int], devices: int) -> int:
    """The number of batches in a group with which all batches are done in the fewest rounds.

    On a tie it is the largest number, because it compiles the least. `counts` holds, for each program and
    iteration reached, the number of batches.
    """

    def rounds(size: int) -> int:
        return math.ceil(sum(math.ceil(count / size) for count in counts) / (devices // size))

    return min(range(1, min(devices, max(counts, default=1)) + 1), key=lambda size: (rounds(size), -size))
