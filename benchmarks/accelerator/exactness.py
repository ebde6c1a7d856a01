"""Which bits are equal on this device: repeated, in other lanes, beside others, in other processes, after a kill."""

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
from benchmarks.accelerator.training import OPTIONS
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
CHECKED: dict[str, dict[str, str]] = {"default": {}} | {
    option: OPTIONS[option] for option in ("deterministic", "no autotuning")
}
WORK: dict[str, tuple[Algorithm, Environment]] = {
    "q_learning FrozenLake-v1": (QLearning(), FrozenLake()),
    "ppo CartPole-v1": (PPO(num_steps=32), CartPole()),
    "dqn CartPole-v1": (DQN(warmup=100, capacity=2_000), CartPole()),
    "sac Pendulum-v1": (SAC(warmup=4, capacity=1_000), Pendulum()),
}
Hashes = dict[int, str]  # of the final state, by seed


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each option with two processes' comparisons, then rows for kills and replays."""
    options = [*CHECKED][: 1 if smoke else None]
    names = list(WORK)[1:2] if smoke else list(WORK)
    studies = () if smoke else ("ppo CartPole-v1", "dqn CartPole-v1")  # `kills` has a smoke of its own
    jobs = [
        Job(compared, (names,), CHECKED[option], {"option": option, "process": process})
        for option in options
        for process in (0, 1)
    ]
    with ThreadPoolExecutor() as pool:
        killed = pool.map(killed_and_replayed, studies)
        rows = list(side_by_side(jobs))
        yield from (row for row in rows if "failed" in row)
        for option in options:
            both = [row["work"] for row in rows if row["option"] == option and "failed" not in row]
            for name in names if len(both) == 2 else []:
                one, two = (each[name] for each in both)
                yield {
                    "option": option,
                    "work": name,
                    **{check: one[check] and two[check] for check in one if check != "hashes"},
                    "other process": one["hashes"] == two["hashes"],
                }
        yield from killed


def compared(names: Sequence[str]) -> dict[str, Any]:
    """For each workload the hashes of a first training, and whether others of the same seeds equal them."""
    return {"work": {name: comparisons(*WORK[name]) for name in names}}


def comparisons(algorithm: Algorithm, env: Environment) -> dict[str, Any]:
    """The hash of every seed's state, and which changes around a run leave it as it is."""
    seeds, stops = range(WIDTH), (ITERATIONS,)
    first = trained([algorithm], env, seeds, stops)
    half = WIDTH // 2
    beside_nan = [algorithm, algorithm.replace(learning_rate=float(np.finfo(np.float32).max))]
    return {
        "hashes": first,
        "again": trained([algorithm], env, seeds, stops) == first,
        "chunks": trained([algorithm], env, seeds, (1, 7, ITERATIONS)) == first,
        "lanes": trained([algorithm], env, seeds[::-1], stops) == first,
        "neighbours": agree(trained([algorithm], env, range(half, half + WIDTH), stops), first),
        "beside failed runs": agree(trained(beside_nan, env, seeds[:half], stops), first),
    }


def agree(some: Hashes, first: Hashes) -> bool:
    """Whether all seeds that both have end with the same bits."""
    shared = some.keys() & first.keys()
    return len(shared) == WIDTH // 2 and all(some[seed] == first[seed] for seed in shared)


def trained(
    algorithms: Sequence[Algorithm], env: Environment, seeds: Sequence[int], stops: Sequence[int]
) -> Hashes:
    """Hashes of the first algorithm's runs after training one batch of WIDTH lanes in chunks that end at `stops`."""
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
