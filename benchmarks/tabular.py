"""Tabular Q-learning in GridWorld, compared with a loop in plain Python and numpy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table

from benchmarks.lanes import Lanes, planned
from benchmarks.processes import in_fresh_process
from benchmarks.timing import time_in_turn
from envs import GridWorld
from envs.grids.maps import MOVES
from jaxrl.algorithms import QLearning
from jaxrl.registry import plain_parameters
from jaxrl.text import counted, number

NAME = "q_learning GridWorld-v0"
SEEDS = (1, 1_024)
ROUNDS = 7
TOTAL = 1_000_000  # planned steps


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """One row, if its name contains `only`."""
    if only in NAME:
        yield in_fresh_process(compare, 1 if smoke else ROUNDS)


def compare(rounds: int) -> dict[str, Any]:
    """The row: steps per second of all seeds together, for each of our numbers of seeds and for the loop."""
    ours = {str(seeds): Lanes(planned(QLearning(), GridWorld(), seeds)) for seeds in SEEDS}
    calls = {"numpy": q_learning} | {seeds: lanes.advance for seeds, lanes in ours.items()}
    timings = time_in_turn(calls, rounds)
    rates = {name: timing.iterations_per_second for name, timing in timings.items()}
    rates |= {seeds: lanes.steps_per_iteration * rates[seeds] for seeds, lanes in ours.items()}
    return {
        "work": NAME,
        "steps_per_second": rates,
        "ratios": {seeds: rates[seeds] / rates["numpy"] for seeds in ours},
        "timings": {name: timing._asdict() for name, timing in timings.items()},
        "settings": plain_parameters(QLearning()),
    }


def q_learning(steps: int, seed: int = 0, total: int = TOTAL) -> np.ndarray:
    """What QLearning() does in GridWorld() for one seed. Returns the action values, [states, actions]."""
    learner, world, rng = QLearning(), GridWorld(), np.random.default_rng(seed)
    size, goal, max_steps = world.size, world.num_states - 1, world.max_steps
    rate, discount, decay_steps = learner.learning_rate, learner.discount, total * learner.epsilon_fraction
    first, last = learner.epsilon_start, learner.epsilon_end
    q = np.zeros((world.num_states, world.num_actions))
    state = length = 0
    for t in range(steps):
        epsilon = first + (last - first) * min(t / decay_steps, 1.0)
        action = rng.integers(len(MOVES)) if rng.random() < epsilon else np.argmax(q[state])

        row = min(max(state // size + MOVES[action][0], 0), size - 1)
        column = min(max(state % size + MOVES[action][1], 0), size - 1)
        next_state = row * size + column
        terminated = next_state == goal
        reward = world.wall_reward if next_state == state else world.step_reward
        target = world.goal_reward if terminated else reward + discount * np.max(q[next_state])
        q[state, action] += rate * (target - q[state, action])

        length += 1
        state, length = (0, 0) if terminated or length >= max_steps else (next_state, length)
    return q


def contender(name: str) -> str:
    """The contender's name in the table and the figure."""
    return "numpy, 1 seed" if name == "numpy" else f"jaxrl, {counted(int(name), 'seed')}"


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each contender."""
    (row,) = rows
    table = Table(row["work"], "steps/s of all seeds", "over numpy's", box=None)
    for name, rate in row["steps_per_second"].items():
        table.add_row(contender(name), number(rate), f"{row['ratios'].get(name, 1.0):,.3g}")
    rounds = len(row["timings"]["numpy"]["seconds"])
    return Group(table, f"medians of {rounds} rounds, all timed in turn")
