"""CartPole's steps per second under a random policy, beside gymnax."""

from collections.abc import Iterator
from typing import Any

from benchmarks.environments import gymnax_steps, our_steps
from benchmarks.timing import time_in_turn
from jaxrl.random.generators import GENERATORS

NAME = "CartPole-v1"
COPIES = (2_000, 65_536, 1_048_576)
ROUNDS = 5


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each number of copies."""
    for copies in (16,) if smoke else COPIES:
        calls = {generator: our_steps(NAME, copies, impl) for generator, impl in GENERATORS.items()}
        timings = time_in_turn(calls | {"gymnax": gymnax_steps(NAME, copies)}, 1 if smoke else ROUNDS)
        yield {
            "environment": NAME,
            "copies": copies,
            "steps_per_second": {side: copies * each.iterations_per_second for side, each in timings.items()},
            "timings": {side: each._asdict() for side, each in timings.items()},
        }
