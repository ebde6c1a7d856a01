"""What options of the compiler and the precision of products cost or gain in training."""

from collections.abc import Iterator
from typing import Any

from benchmarks.accelerator.jobs import Job, side_by_side
from benchmarks.accelerator.training import CALLS, rate

OPTIONS: dict[str, dict[str, str]] = {
    "default": {},
    "float32 products": {"JAX_DEFAULT_MATMUL_PRECISION": "highest"},
    "deterministic": {"XLA_FLAGS": "--xla_gpu_deterministic_ops=true"},
    "no autotuning": {"XLA_FLAGS": "--xla_gpu_autotune_level=0"},
    "no CUDA graphs": {"XLA_FLAGS": "--xla_gpu_enable_command_buffer="},
    "loops in CUDA graphs": {
        "XLA_FLAGS": "--xla_gpu_enable_command_buffer=+while,+conditional,+dynamic_slice_fusion"
    },
}
WORK = (("ppo CartPole-v1", 8_192), ("dqn CartPole-v1", 1_024), ("sac Pendulum-v1", 1_024))


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each workload and option."""
    work, calls = (("ppo CartPole-v1", 2),) if smoke else WORK, 1 if smoke else CALLS
    options = {"default": OPTIONS["default"]} if smoke else OPTIONS
    yield from side_by_side(
        [
            Job(rate, (name, seeds, calls), variables, {"option": option})
            for name, seeds in work
            for option, variables in options.items()
        ]
    )
