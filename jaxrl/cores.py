"""All cores of a processor at work, each as a device that trains batches of its own."""

import contextlib
import os

import jax

MAX_DEVICES = 8  # each compiles every program for itself


def use_all_cores() -> None:
    """Lets jax see its processor as a device for each core, at most 8. For scripts and the command line.

    XLA splits the small matrix products of one batch badly; two batches on two devices keep both cores at
    work. Changes nothing once jax is in use, or where JAX_NUM_CPU_DEVICES says how many it should be.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):  # jax is in use
            jax.config.update("jax_num_cpu_devices", min(os.cpu_count() or 1, MAX_DEVICES))
