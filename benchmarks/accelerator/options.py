"""What options of the compiler and the precision of matrix products change in training."""

from collections.abc import Iterator
from typing import Any

from benchmarks.accelerator.jobs import Job, side_by_side
from benchmarks.accelerator.training import CALLS, rates
from jaxrl.compiled.engine import PRECISIONS

WORK = ("ppo CartPole-v1", "dqn CartPole-v1")
LANES = (1_024,)
LOOPS = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"
FLAGS = {
    "none": "",
    "deterministic": "--xla_gpu_deterministic_ops=true",
    "no autotuning": "--xla_gpu_autotune_level=0",
    "no CUDA graphs": "--xla_gpu_enable_command_buffer=",
    "loops in CUDA graphs": LOOPS,
    "unrolled loops in CUDA graphs": f"{LOOPS} --xla_gpu_command_buffer_unroll_loops=true",
}


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each workload and option; the option "none" is what users get."""
    if smoke:
        jobs = [Job(rates, (WORK[0], (2,), 1, False, PRECISIONS[1]), {}, {"option": PRECISIONS[1]})]
    else:
        jobs = [
            Job(rates, (name, LANES, CALLS, False), {"XLA_FLAGS": flags}, {"option": option})
            for name in WORK
            for option, flags in FLAGS.items()
        ]
        jobs += [
            Job(rates, (name, LANES, CALLS, False, PRECISIONS[1]), {}, {"option": PRECISIONS[1]})
            for name in WORK
        ]
    for result in side_by_side(jobs):
        yield from ({"option": result["option"]} | row for row in result.get("rows", [result]))
