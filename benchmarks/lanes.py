"""Training as the command line does it, a batch on every device, but step by step."""

from collections.abc import Sequence

import jax
import numpy as np
import optax

from jaxrl.compiled.engine import PRECISIONS, engine_for
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.study.placement import MeshBatches, place_batches
from jaxrl.study.plan import make_plan
from jaxrl.study.seeds import MAX_COUNT
from jaxrl.study.study import make_study

EPISODES = 10  # of an evaluation, the command line's default


def planned(
    algorithm: Algorithm, env: Environment, seeds: int | str, steps: int = MAX_COUNT
) -> tuple[MeshBatches, ...]:
    """The groups of batches that the command line would train with this budget."""
    plan = make_plan(make_study(algorithm, env, seeds=seeds, steps=steps))
    groups, (mesh, *others) = place_batches(plan.batches, [None] * len(plan.batches), plan.multi_device)
    if others:
        raise InputError(f"benchmarks measure one mesh, but {1 + len(others)} are used; use one device")
    return tuple(MeshBatches(members, mesh) for members in groups)


class Lanes:
    """Groups of batches of one program in the middle of training, one after the other.

    The states of all groups stay in memory; the command line keeps those of one group.
    """

    def __init__(
        self, groups: Sequence[MeshBatches], steps: int = MAX_COUNT, precision: str = PRECISIONS[0]
    ) -> None:
        algorithm = groups[0].batches[0].runs[0].algorithm
        seeds = sum(len(batch.runs) for group in groups for batch in group.batches)
        self.steps_per_iteration = seeds * algorithm.steps_per_iteration
        self.total = steps // algorithm.steps_per_iteration
        self.t = 0
        self.groups = groups
        self.engine = engine_for(groups[0].mesh, EPISODES, precision)
        self.lanes = [group.lanes() for group in groups]
        self.states = [
            self.engine.initialise(algorithm, env, keys.init, shared, self.total)
            for algorithm, env, keys, shared in self.lanes
        ]
        jax.block_until_ready(self.states)

    def advance(self, iterations: int) -> None:
        """Trains every seed for this many more iterations and waits for the result; 0 only compiles."""
        stop = self.t + iterations
        for i, (algorithm, env, keys, shared) in enumerate(self.lanes):
            self.states[i], *metrics = self.engine.advance(
                algorithm, env, self.states[i], keys.steps, shared, self.t, stop, self.total
            )
            jax.block_until_ready(metrics)
        self.t = stop

    def evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths of every seed's greedy episodes: [seeds, EPISODES] each."""
        results = []
        for group, (algorithm, env, keys, shared), state in zip(
            self.groups, self.lanes, self.states, strict=True
        ):
            now = self.engine.keys_at(keys.evaluation, self.t)
            *values, _ = self.engine.evaluate(algorithm, env, state, now, shared, self.total)
            runs = [lane for lane in range(len(now)) if group.run_in(lane)]
            results.append([np.asarray(value)[runs] for value in values])
        returns, lengths = map(np.concatenate, zip(*results, strict=True))
        return returns, lengths

    def updates(self) -> int:
        """Optimiser steps of one seed so far; 0 for an algorithm that has no optimiser."""
        counts = optax.tree_utils.tree_get_all_with_path(self.states[0], "count")
        return max((int(count[0]) for _, count in counts), default=0)
