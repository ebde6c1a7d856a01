"""Training beside rejax: the same settings, the same device, in turn.

rejax needs packages of its own. JAXRL_REJAX_PYTHON names the Python that has them.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.peers.compare import row
from benchmarks.processes import ask

WORK = (
    ("ppo CartPole-v1", 64),
    ("ppo CartPole-v1", 2_048),
    ("ppo CartPole-v1", 8_192),
    ("dqn CartPole-v1", 1_024),
    ("sac Pendulum-v1", 1_024),
)
CALLS, MIN_SECONDS = 5, 0.5


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each workload with the rates of both sides and their ratio."""
    work = (("ppo CartPole-v1", 2),) if smoke else WORK
    calls, min_seconds = (1, 0.1) if smoke else (CALLS, MIN_SECONDS)
    python = os.environ.get("JAXRL_REJAX_PYTHON")
    sides = {"jaxrl": (sys.executable, "on_jaxrl")} | ({"rejax": (python, "on_rejax")} if python else {})

    def report(each: tuple[str, int], side: str) -> dict[str, Any]:
        python, module = sides[side]
        command = [
            python,
            "-m",
            f"benchmarks.peers.{module}",
            each[0],
            *map(str, (each[1], calls, min_seconds)),
        ]
        return ask(command, os.environ)

    with ThreadPoolExecutor(2) as pool:  # the two sides of a workload compile at once
        running = {each: {side: pool.submit(report, each, side) for side in sides} for each in work}
        for each, reports in running.items():
            try:
                yield row(*each, {side: [future.result()] for side, future in reports.items()})
            except RuntimeError as error:
                yield {"work": each[0], "seeds": each[1], "failed": str(error)[-1_500:]}
