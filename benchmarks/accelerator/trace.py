"""Where the time of an iteration goes: kernels by time, launches and gaps, from jax's profiler."""

import collections
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

SHOWN = 60  # kernels


def traced(advance: Callable[[int], None], iterations: int) -> dict[str, Any]:
    """Traces iterations of `advance(iterations)`; every number is of one iteration.

    `milliseconds` is their time on the device, `busy_milliseconds` the time in which any kernel ran. The
    kernels that took most of it are named.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            advance(iterations)
        (file,) = Path(folder).rglob("*.xplane.pb")
        kernels = [*of_device(jax.profiler.ProfileData.from_file(str(file)))]
    total, count = collections.defaultdict[str, float](float), collections.Counter[str]()
    for name, start, end in kernels:
        total[name] += end - start
        count[name] += 1
    window = max(end for *_, end in kernels) - min(start for _, start, _ in kernels)
    return {
        "iterations": iterations,
        "milliseconds": window / 1e6 / iterations,
        "busy_milliseconds": covered(kernels) / 1e6 / iterations,
        "launches": len(kernels) / iterations,
        "kernels": [
            {"name": name, "milliseconds": ns / 1e6 / iterations, "launches": count[name] / iterations}
            for name, ns in sorted(total.items(), key=lambda item: -item[1])[:SHOWN]
        ],
    }


def of_device(profile: Any) -> Iterator[tuple[str, float, float]]:
    """Name, start and end, in nanoseconds, of each kernel; on a processor of each of XLA's operations."""
    planes = [*profile.planes]
    gpus = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    for plane in gpus or planes:
        for line in plane.lines:
            if line.name.startswith("Stream" if gpus else "tf_XLA"):
                yield from ((name(event), event.start_ns, event.end_ns) for event in line.events)


def name(event: Any) -> str:
    """The operation that a kernel belongs to, with the kernel's own name where that says more."""
    operation = next((str(value) for key, value in event.stats if key == "hlo_op"), "")
    same = operation.replace(".", "_") == event.name.replace(".", "_")
    return event.name[:60] if same or not operation else f"{operation}: {event.name[:60]}"


def covered(kernels: list[tuple[str, float, float]]) -> float:
    """The time in which at least one of the kernels ran."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted((start, end) for _, start, end in kernels):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
