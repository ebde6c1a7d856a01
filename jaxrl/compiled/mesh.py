"""Lanes sharded over a mesh of devices, so that a program is compiled once for all devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

LANES = PartitionSpec("lanes")
# XLA's CPU compiler (jax 0.10 and 0.11) eliminates common subexpressions before it simplifies a program for
# several devices, but after it simplifies a program for one. The results then differ in last bits. Without
# the elimination they agree.
ON_SEVERAL_PROCESSORS = {"xla_disable_hlo_passes": "cse"}
# XLA's GPU compiler times several kernels for a matrix product and takes the fastest. Two processes may
# choose differently, and then their last bits differ (seen on an H100). This option fixes the choice.
ON_GPUS = {"xla_gpu_deterministic_ops": True}


def lane_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """A mesh of these devices with the single axis "lanes"."""
    return Mesh(np.asarray(devices), ("lanes",))


def sharded(
    function: Callable[..., Any], mesh: Mesh, lanes: int, replicated: int = 0, donate: tuple[int, ...] = ()
) -> Callable[..., Any]:
    """A compiled function from lanes to lanes, for a mesh, whose bits are the same in every process.

    The leading axis [lanes] of its first `lanes` arguments is sharded. The next `replicated` arguments are
    the same on every device. Each device computes its own lanes; devices exchange nothing.
    """
    options = compiler_options(mesh)
    if mesh.size == 1:
        return jax.jit(function, donate_argnums=donate, compiler_options=options) if options else function
    specs = (LANES,) * lanes + (PartitionSpec(),) * replicated
    # check_vma would refuse a loop whose carry begins as zeros, which are the same on every device, and ends
    # as sums, which differ.
    mapped = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=LANES, check_vma=False)
    return jax.jit(mapped, donate_argnums=donate, compiler_options=options)


def compiler_options(mesh: Mesh) -> dict[str, Any]:
    """The options with which XLA gives a run the same bits in every process and on any number of devices."""
    platform = mesh.devices.flat[0].platform
    if platform == "gpu":
        return ON_GPUS
    return ON_SEVERAL_PROCESSORS if platform == "cpu" and mesh.size > 1 else {}


def side_by_side(parts: Sequence[Any], mesh: Mesh) -> Any:
    """One tree of arrays [devices * width, ...] on the mesh, from trees [width, ...] for each device."""
    if mesh.size == 1:
        return jax.device_put(parts[0], mesh.devices[0])

    def join(*leaves: jax.Array) -> jax.Array:
        placed = [jax.device_put(leaf, device) for leaf, device in zip(leaves, mesh.devices, strict=True)]
        shape = (mesh.size * leaves[0].shape[0], *leaves[0].shape[1:])
        return jax.make_array_from_single_device_arrays(shape, NamedSharding(mesh, LANES), placed)

    return jax.tree.map(join, *parts)


def replicated(tree: Any, mesh: Mesh) -> Any:
    """A tree of arrays with a full copy on every device of a mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_of(tree: Any, place: int) -> Any:
    """The part [width, ...] of a tree of arrays that the device at this place of the mesh holds."""
    return jax.tree.map(lambda leaf: leaf.addressable_shards[place].data, tree)
