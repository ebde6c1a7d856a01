"""Memory of this process: on the GPU if there is one, else on the processor."""

import resource
import sys

import jax
import psutil


def resident_bytes() -> int:
    """The bytes in use now."""
    return _of_devices("bytes_in_use") or psutil.Process().memory_info().rss


def peak_bytes() -> int:
    """The most bytes in use at any time."""
    unit = 1 if sys.platform == "darwin" else 1024
    return _of_devices("peak_bytes_in_use") or unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _of_devices(name: str) -> int:
    """The sum of a statistic over all devices; 0 if they have none."""
    return sum((device.memory_stats() or {}).get(name, 0) for device in jax.local_devices())
