"""All cores of a processor at work, each as a device that trains a batch of its own."""

import contextlib
import os

import jax


def use_all_cores() -> None:
    """Lets jax see its processor as a device for each core it may use. For scripts and the command line.

    XLA splits the small matrix products of one batch badly; two batches on two devices keep both cores at
    work. Changes nothing once jax is in use, or where JAX_NUM_CPU_DEVICES says how many it should be.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):  # jax is in use
            jax.config.update("jax_num_cpu_devices", count_cores())


def count_cores() -> int:
    """The cores that this process may use; what a container's quota leaves of them is not seen."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
