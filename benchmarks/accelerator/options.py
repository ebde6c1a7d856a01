"""What options of the compiler and the precision of matrix products change in training."""

from collections.abc import Iterator
from typing import Any

from benchmarks.accelerator.jobs import Job, side_by_side
from benchmarks.accelerator.training import CALLS, rates
from jaxrl.compiled import mesh
from jaxrl.compiled.engine import PRECISIONS

WORK = ("ppo CartPole-v1", "dqn CartPole-v1")
LANES = (1_024,)
LOOPS = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"
FLAGS = {
    "none": "",
    "no CUDA graphs": "--xla_gpu_enable_command_buffer=",
    "loops in CUDA graphs": LOOPS,
    "unrolled loops in CUDA graphs": f"{LOOPS} --xla_gpu_command_buffer_unroll_loops=true",
}


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each workload and option; the option "none" is what users get."""
    jobs = []
    for name in WORK[:1] if smoke else WORK:
        what = (name, (2,) if smoke else LANES, 1 if smoke else CALLS, False)
        jobs += [
            Job(rates, (*what, PRECISIONS[1]), {}, {"option": PRECISIONS[1]}),
            Job(autotuned_rates, what, {}, {"option": "autotuned"}),
        ]
        if not smoke:
            jobs += [
                Job(rates, what, {"XLA_FLAGS": flags}, {"option": each}) for each, flags in FLAGS.items()
            ]
    for result in side_by_side(jobs):
        yield from ({"option": result["option"]} | row for row in result.get("rows", [result]))


def autotuned_rates(*arguments: Any) -> dict[str, Any]:
    """`rates` where the compiler times kernels and takes the fastest, as it does by default."""
    mesh.ON_GPUS.clear()  # in a process of its own
    return rates(*arguments)
