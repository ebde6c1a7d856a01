"""Several devices: lanes sharded over a mesh, so that a program is compiled once for all of them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

LANES = PartitionSpec("lanes")
# In a program for several devices XLA's CPU compiler (of jax 0.10 and 0.11) eliminates common subexpressions
# before it simplifies, in one for a single device only afterwards. Then the simplifier decides otherwise, and
# last bits differ; without the elimination they agree.
SAME_BITS = {"xla_disable_hlo_passes": "cse"}


def lane_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """These devices, in a row along the lanes."""
    return Mesh(np.asarray(devices), ("lanes",))


def sharded(
    function: Callable[..., Any], mesh: Mesh, lanes: int, replicated: int = 0, donate: tuple[int, ...] = ()
) -> Callable[..., Any]:
    """A function from lanes to lanes, compiled for a mesh.

    Its first `lanes` arguments have a leading axis [lanes], which is sharded; the `replicated` ones after
    them are the same on every device. Each device works on its lanes as it would alone; nothing is exchanged.
    """
    specs = (LANES,) * lanes + (PartitionSpec(),) * replicated
    # Unchecked, since the check refuses a loop that starts from zeros, the same on every device, and ends
    # with sums that are not.
    mapped = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=LANES, check_vma=False)
    return jax.jit(mapped, donate_argnums=donate, compiler_options=SAME_BITS)


def side_by_side(parts: Sequence[Any], mesh: Mesh) -> Any:
    """Trees of arrays [width, ...], one for each device of a mesh, as one of [devices * width, ...] on it."""
    if mesh.size == 1:
        return jax.device_put(parts[0], mesh.devices[0])

    def join(*leaves: jax.Array) -> jax.Array:
        placed = [jax.device_put(leaf, device) for leaf, device in zip(leaves, mesh.devices, strict=True)]
        shape = (mesh.size * leaves[0].shape[0], *leaves[0].shape[1:])
        return jax.make_array_from_single_device_arrays(shape, NamedSharding(mesh, LANES), placed)

    return jax.tree.map(join, *parts)


def replicated(tree: Any, mesh: Mesh) -> Any:
    """A tree of arrays, whole on every device of a mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_of(tree: Any, place: int) -> Any:
    """What one device, by its place in the mesh, holds of a tree of arrays: [width, ...]."""
    return jax.tree.map(lambda leaf: leaf.addressable_shards[place].data, tree)
