"""Whole studies with default settings, from the call of `train` to the results: where the time goes."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from benchmarks.processes import in_fresh_process
from envs import CartPole, FrozenLake, Pendulum
from jaxrl import train
from jaxrl.algorithms import DQN, PPO, SAC, QLearning
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.registry import plain_parameters
from jaxrl.store.manifest import KINDS

HOST = "host"  # what no batch counts: the plan, lanes, callbacks, the final tables and reading them
PARTS = ("train", "evaluate", "save", "compile", HOST)
# Short warm-ups and memories, since these studies are short.
WORK: dict[str, tuple[Algorithm, Environment]] = {
    "q_learning FrozenLake-v1": (QLearning(), FrozenLake()),
    "ppo CartPole-v1": (PPO(), CartPole()),
    "dqn CartPole-v1": (DQN(warmup=1_000), CartPole()),
    "sac Pendulum-v1": (SAC(warmup=100, capacity=10_000), Pendulum()),
}
# Numbers of seeds, and steps of each.
SIZES = {
    "q_learning FrozenLake-v1": ((1_024, 200_000), (100_000, 2_000), (100_000, 10_000)),
    "ppo CartPole-v1": ((64, 500_000), (1_024, 50_000)),
    "dqn CartPole-v1": ((64, 100_000), (1_024, 10_000)),
    "sac Pendulum-v1": ((64, 4_000), (1_024, 400)),
}
SMOKE = (2, 200)


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each workload whose name contains `only` and each size."""
    chosen = [name for name in WORK if only in name]
    for name in chosen[:1] if smoke else chosen:
        for seeds, steps in (SMOKE,) if smoke else SIZES[name]:
            yield in_fresh_process(study, name, seeds, steps)


def study(name: str, seeds: int, steps: int) -> dict[str, Any]:
    """The row of a study, trained in this process, which has compiled nothing yet."""
    algorithm, environment = WORK[name]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = train(algorithm, environment, seeds=seeds, steps=steps, out=folder)
        seconds = time.perf_counter() - start
        files = [file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()]
        evaluations = len(results.batches[0].chunks)
    plan, batches = results.manifest["plan"], results.manifest["seconds"]
    together = min(plan["devices"], len(batches))  # batches side by side, each of which counts the time
    parts = {kind: sum(batch[kind] for batch in batches) / together for kind in KINDS}
    return {
        "work": name,
        "seeds": seeds,
        "steps": steps,
        "seconds": seconds,
        "parts": parts | {HOST: seconds - sum(parts.values())},
        "evaluations": evaluations,
        "plan": plan,
        "files": len(files),
        "bytes": sum(files),
        "settings": plain_parameters(algorithm),
    }


def shares(row: dict[str, Any]) -> dict[str, float]:
    """The share of a study's wall-clock time that each of PARTS takes."""
    return {part: row["parts"][part] / row["seconds"] for part in PARTS}


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each row."""
    table = Table("work", "seeds", "steps", "evaluations", "seconds", *PARTS, "files", box=None)
    for row in rows:
        table.add_row(
            row["work"],
            *(f"{row[name]:,}" for name in ("seeds", "steps", "evaluations")),
            f"{row['seconds']:.1f}",
            *(f"{share:.0%}" for share in shares(row).values()),
            f"{row['files']:,}",
        )
    note = (
        "seconds: from the call of train to the results, with nothing compiled before; then their shares; "
        "steps and evaluations of each run; files when the study is complete"
    )
    return Group(table, note)
