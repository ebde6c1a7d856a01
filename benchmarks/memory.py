"""Memory of this process: a GPU's where there is one, else the processor's."""

import resource
import sys

import jax
import psutil


def resident_bytes() -> int:
    """What is held now."""
    return _of_devices("bytes_in_use") or psutil.Process().memory_info().rss


def peak_bytes() -> int:
    """The most that was ever held at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    return _of_devices("peak_bytes_in_use") or unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _of_devices(name: str) -> int:
    """The sum of a statistic over all devices, 0 where they keep none."""
    return sum((device.memory_stats() or {}).get(name, 0) for device in jax.local_devices())
