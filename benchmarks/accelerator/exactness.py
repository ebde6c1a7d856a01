"""Which bits are equal on this device: in other lanes, beside others, in other processes, after a kill."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import kills
from benchmarks.accelerator.jobs import Job, side_by_side
from envs import CartPole, FrozenLake, Pendulum
from jaxrl.algorithms import DQN, PPO, SAC, QLearning
from jaxrl.compiled.engine import engine_for
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.store.states import plain
from jaxrl.study.placement import MeshBatches
from jaxrl.study.plan import make_plan
from jaxrl.study.study import make_study

WIDTH, ITERATIONS = 64, 40
LARGEST = float(np.finfo(np.float32).max)  # a learning rate with which runs fail
WORK: dict[str, tuple[Algorithm, Environment]] = {
    "q_learning FrozenLake-v1": (QLearning(), FrozenLake()),
    "ppo CartPole-v1": (PPO(num_steps=32), CartPole()),
    "dqn CartPole-v1": (DQN(warmup=100, capacity=2_000), CartPole()),
    "sac Pendulum-v1": (SAC(warmup=4, capacity=1_000), Pendulum()),
}
Hashes = dict[int, str]  # of the final state, by seed


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each workload, compared within and between two processes; then one for each whole study."""
    names = [*WORK][1:2] if smoke else [*WORK]
    studies = () if smoke else ("ppo CartPole-v1", "dqn CartPole-v1")  # `kills` has a smoke of its own
    with ThreadPoolExecutor() as pool:
        killed = pool.map(killed_and_replayed, studies)
        yield from checked(names)
        yield from killed


def checked(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for each workload, as soon as both of its processes have ended."""
    jobs = [Job(comparisons, (name,), labels={"work": name}) for name in names for _ in range(2)]
    first: dict[str, dict[str, Any]] = {}
    for row in side_by_side(jobs, at_once=8):
        name = row["work"]
        if "failed" in row:
            yield row
        elif name not in first:
            first[name] = row
        else:
            both = (first[name], row)
            same = {check: all(each["checks"][check] for each in both) for check in row["checks"]}
            yield {"work": name} | same | {"in another process": both[0]["hashes"] == both[1]["hashes"]}


def comparisons(name: str) -> dict[str, Any]:
    """The hash of every seed's state, and which changes around a run leave it as it is."""
    algorithm, env = WORK[name]
    seeds, stops, half = range(WIDTH), (ITERATIONS,), WIDTH // 2
    first = trained([algorithm], env, seeds, stops)
    checks = {
        "again": trained([algorithm], env, seeds, stops) == first,
        "in other chunks": trained([algorithm], env, seeds, (1, 7, ITERATIONS)) == first,
        "in other lanes": trained([algorithm], env, seeds[::-1], stops) == first,
        "beside others": agree(trained([algorithm], env, range(half, half + WIDTH), stops), first),
    }
    if not isinstance(algorithm, QLearning):  # its learning rate is at most 1, and tables do not fail
        pair = [algorithm, algorithm.replace(learning_rate=LARGEST)]
        checks["beside failing runs"] = agree(trained(pair, env, seeds[:half], stops), first)
    return {"hashes": first, "checks": checks}


def agree(some: Hashes, first: Hashes) -> bool:
    """Whether all seeds that both have end with the same bits."""
    shared = some.keys() & first.keys()
    return len(shared) == WIDTH // 2 and all(some[seed] == first[seed] for seed in shared)


def trained(
    algorithms: Sequence[Algorithm], env: Environment, seeds: Sequence[int], stops: Sequence[int]
) -> Hashes:
    """Trains WIDTH lanes in chunks that end at `stops`; returns the hashes of the first algorithm's runs."""
    steps = stops[-1] * algorithms[0].steps_per_iteration
    study = make_study(algorithms, env, seeds=seeds, steps=steps, evaluate_every=steps)
    (batch,) = make_plan(study, WIDTH).batches
    lanes = MeshBatches.alone(batch).lanes()
    engine = engine_for(MeshBatches.alone(batch).mesh, 1)
    total = batch.chunks[0].total
    state = engine.initialise(lanes.algorithm, lanes.environment, lanes.keys.init, lanes.shared, total)
    for start, stop in zip((0, *stops), stops, strict=False):
        state, _, _ = engine.advance(
            lanes.algorithm, lanes.environment, state, lanes.keys.steps, lanes.shared, start, stop, total
        )
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(plain(state))]
    return {
        run.seed: hashlib.sha256(b"".join(leaf[lane].tobytes() for leaf in leaves)).hexdigest()[:16]
        for lane, run in enumerate(batch.runs)
        if run.algorithm == algorithms[0]
    }


def killed_and_replayed(name: str) -> dict[str, Any]:
    """Whether a study, killed and resumed, ends with the bits of one that was not, and can be replayed."""
    options = kills.WORK[name]
    with tempfile.TemporaryDirectory() as folder:
        whole, again = Path(folder) / "whole", Path(folder) / "again"
        kills.finish(kills.start(name, options, whole))
        seconds = kills.seconds_of(name, options, again)
        equal, middle = kills.killed_and_resumed(name, options, Path(folder) / "killed", seconds / 2, whole)
        command = [sys.executable, "-m", "jaxrl", "replay", str(whole), "--run", "3"]
        replayed = subprocess.run(command, capture_output=True, text=True)
        return {
            "study": name,
            "repeated study": kills.same(again, whole),
            "killed in the middle": middle,
            "resumed": equal,
            "replayed": replayed.returncode == 0,
            "replay": (replayed.stdout + replayed.stderr)[-500:],
        }
