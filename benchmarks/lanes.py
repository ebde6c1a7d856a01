"""Training as the command line does it, a batch at a time on every device, but only as far as one asks."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import optax
from jax import Array, random

from jaxrl.algorithm import Algorithm
from jaxrl.environment import Environment
from jaxrl.evaluate import evaluate
from jaxrl.generators import DEFAULT
from jaxrl.plan import Batch, make_plan
from jaxrl.study import MAX_COUNT, make_study
from jaxrl.training import advance, initialise

EPISODES = 10  # of an evaluation, the command line's default


def planned(
    algorithm: Algorithm, env: Environment, seeds: int | str, steps: int = MAX_COUNT
) -> tuple[Batch, ...]:
    """The batches that the command line would train; schedules hardly move in a measurement's few `steps`."""
    return make_plan(make_study(algorithm, env, seeds=seeds, steps=steps)).batches


class Lanes:
    """Batches of one program in the middle of training, shared by the local devices.

    All their states are kept, where the command line keeps those of one batch a device.
    """

    def __init__(self, batches: Sequence[Batch], steps: int = MAX_COUNT) -> None:
        algorithm = batches[0].runs[0].algorithm
        self.steps_per_iteration = sum(len(batch.runs) for batch in batches) * algorithm.steps_per_iteration
        self.total = steps // algorithm.steps_per_iteration
        self.t = 0
        devices = jax.local_devices()[: len(batches)]
        shares = [batches[i :: len(devices)] for i in range(len(devices))]
        self.pool = ThreadPoolExecutor(len(devices))
        self.parts = list(self.pool.map(OnDevice, devices, shares))

    def advance(self, iterations: int) -> None:
        """Trains every seed for that many more iterations and waits for the result; 0 only compiles."""
        stop = self.t + iterations
        list(self.pool.map(lambda part: part.advance(self.t, stop, self.total), self.parts))
        self.t = stop

    def evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths of every seed's greedy episodes: [seeds, EPISODES] each."""
        evaluations = self.pool.map(lambda part: part.evaluate(self.t), self.parts)
        returns, lengths = map(np.concatenate, zip(*evaluations, strict=True))
        return returns, lengths

    def updates(self) -> int:
        """Optimiser steps of one seed so far; 0 for an algorithm that has no optimiser."""
        counts = optax.tree_utils.tree_get_all_with_path(self.parts[0].states[0], "count")
        return max((int(count[0]) for _, count in counts), default=0)


class OnDevice:
    """Batches all of whose lanes are one device's, trained one after the other."""

    def __init__(self, device: jax.Device, batches: Sequence[Batch]) -> None:
        self.device = device
        self.runs = [len(batch.runs) for batch in batches]
        with jax.default_device(device):
            self.lanes = [batch.lanes(DEFAULT) for batch in batches]
            self.states: list[Any] = [
                jax.block_until_ready(initialise(algorithm, env, keys))
                for algorithm, env, keys, _ in self.lanes
            ]

    def advance(self, start: int, stop: int, total: int) -> None:
        with jax.default_device(self.device):
            for i, (algorithm, env, _, _) in enumerate(self.lanes):
                self.states[i], *metrics = advance(algorithm, env, self.states[i], start, stop, total)
                jax.block_until_ready(metrics)

    def evaluate(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        results = []
        with jax.default_device(self.device):
            for runs, (algorithm, env, _, keys), state in zip(
                self.runs, self.lanes, self.states, strict=True
            ):
                values = evaluate(algorithm, env, state, keys_at(keys, t), EPISODES)
                results.append([np.asarray(value)[:runs] for value in values])
        returns, lengths = map(np.concatenate, zip(*results, strict=True))
        return returns, lengths


@jax.jit
def keys_at(keys: Array, t: int) -> Array:
    """Each lane's key of evaluation after `t` iterations: [lanes]."""
    return jax.vmap(random.fold_in, (0, None))(keys, t)
