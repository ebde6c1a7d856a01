"""Where the time of an iteration goes: kernels by time, launches and gaps, from jax's profiler."""

import collections
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from benchmarks.accelerator.jobs import Job, side_by_side
from benchmarks.accelerator.training import work
from benchmarks.lanes import Lanes, planned
from benchmarks.timing import enough
from benchmarks.turns import turn

WORK = (
    ("ppo CartPole-v1", 8_192),
    ("ppo CartPole-v1", 1_024),
    ("dqn CartPole-v1", 1_024),
    ("sac Pendulum-v1", 1_024),
)
SHOWN = 25  # kernels
SECONDS = 0.2  # of a trace


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each workload."""
    chosen = (("ppo CartPole-v1", 2),) if smoke else WORK
    yield from side_by_side([Job(profiled, (*each, 0.0 if smoke else SECONDS)) for each in chosen])


def profiled(name: str, seeds: int, seconds: float) -> dict[str, Any]:
    """Traces iterations of a workload: busy time, launches and the kernels that take most of it."""
    lanes = Lanes(planned(*work(name), seeds))
    lanes.advance(1)
    with turn(), tempfile.TemporaryDirectory() as folder:
        iterations = enough(lanes.advance, seconds)
        with jax.profiler.trace(folder):
            lanes.advance(iterations)
        (file,) = Path(folder).rglob("*.xplane.pb")
        events = kernels(jax.profiler.ProfileData.from_file(str(file)))
    total, count = collections.Counter[str](), collections.Counter[str]()
    for kernel, start, end in events:
        total[kernel] += end - start
        count[kernel] += 1
    busy = union(sorted((start, end) for _, start, end in events))
    window = max(end for *_, end in events) - min(start for _, start, _ in events)
    return {
        "work": name,
        "seeds": seeds,
        "iterations": iterations,
        "milliseconds": window / 1e6 / iterations,  # of an iteration, as are the following
        "busy_milliseconds": busy / 1e6 / iterations,
        "launches": len(events) / iterations,
        "kernels": [
            {"name": kernel, "milliseconds": ns / 1e6 / iterations, "launches": count[kernel] / iterations}
            for kernel, ns in total.most_common(SHOWN)
        ],
    }


def kernels(profile: Any) -> list[tuple[str, float, float]]:
    """Name, start and end in nanoseconds of everything that ran on a device; on a CPU of XLA's operations."""
    planes = list(profile.planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:GPU")] or planes
    found = []
    for plane in devices:
        for line in plane.lines:
            if line.name.startswith("Stream") or plane.name == "/host:CPU" and "XLA" in line.name:
                found += [(label(event), event.start_ns, event.end_ns) for event in line.events]
    return found


def label(event: Any) -> str:
    """A kernel's name with the operation that it belongs to, if the trace says so."""
    stats = {str(key): value for key, value in event.stats if key in ("hlo_op", "tf_op", "name")}
    operation = stats.get("tf_op") or stats.get("hlo_op") or ""
    return re.sub(r"\s+", " ", f"{event.name[:60]} | {str(operation)[-90:]}")


def union(intervals: list[tuple[float, float]]) -> float:
    """The length of what sorted intervals cover together."""
    covered, reached = 0.0, float("-inf")
    for start, end in intervals:
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered
