"""Makes every core of a processor a device, so that each core trains a batch of its own."""

import contextlib
import os

import jax


def use_all_cores() -> None:
    """Makes jax see one device for each core that this process may use. For scripts and the command line.

    XLA splits the small matrix products of one batch badly over cores; batches on devices of their own keep
    all cores busy. Changes nothing if jax is already in use or JAX_NUM_CPU_DEVICES is set.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):  # jax is in use
            jax.config.update("jax_num_cpu_devices", count_cores())


def count_cores() -> int:
    """The number of cores that this process may use. It does not see a container's CPU quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
