"""Studies killed at random moments and resumed: whether they end with the bits of one that was left alone."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group
from rich.table import Table

from jaxrl import enable_compilation_cache, load, resume
from jaxrl.statistics import share_interval

SEEDS, KILLS = 64, 50
OFF_POLICY = ["--set", "warmup=200", "--set", "capacity=2000", "--steps", "2000"]
WORK = {
    "q_learning GridWorld-v0": ["--steps", "4000"],
    "ppo CartPole-v1": ["--steps", "20480"],
    "dqn CartPole-v1": OFF_POLICY,
    "sac Pendulum-v1": [*OFF_POLICY, "--set", "batch_size=64", "--set", "num_envs=8"],
    "discrete_sac CartPole-v1": [*OFF_POLICY, "--set", "batch_size=64", "--set", "num_envs=8"],
}


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each piece of work whose name contains `only`."""
    enable_compilation_cache()
    rng = np.random.default_rng(0)
    chosen = {name: options for name, options in WORK.items() if only in name}
    for name, options in [*chosen.items()][: 1 if smoke else None]:
        with tempfile.TemporaryDirectory() as folder:
            whole, again = Path(folder) / "whole", Path(folder) / "again"
            finish(start(name, options, whole))
            begin = time.monotonic()
            finish(start(name, options, again))  # compiled by now, so as long as those that are killed
            seconds = time.monotonic() - begin
            outcomes = [
                killed_and_resumed(name, options, Path(folder) / "killed", rng.uniform(0, seconds), whole)
                for _ in range(2 if smoke else KILLS)
            ]
        yield {
            "work": name,
            "seeds": SEEDS,
            "seconds": seconds,
            "kills": len(outcomes),
            "equal": sum(equal for equal, _ in outcomes),
            "in_the_middle": sum(middle for _, middle in outcomes),
        }


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each piece of work."""
    table = Table("work", "seeds", "kills", "in the middle", "equal to the bit [95 %]", box=None)
    for row in rows:
        share = share_interval(row["equal"], row["kills"])
        equal = f"{row['equal']} of {row['kills']} [{share.low:.0%}, {share.high:.0%}]"
        table.add_row(row["work"], str(row["seeds"]), str(row["kills"]), str(row["in_the_middle"]), equal)
    return Group(table)


def killed_and_resumed(
    name: str, options: list[str], out: Path, seconds: float, whole: Path
) -> tuple[bool, bool]:
    """Kills a study that long after its start; whether it ends as `whole`, and whether it had begun
    without being complete."""
    process = start(name, options, out)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    begun = (out / "manifest.json").exists()
    middle = begun and json.loads((out / "manifest.json").read_text())["status"] != "complete"
    if begun:
        resume(out, checkpoint_every=0)
    else:
        finish(start(name, options, out))
    equal = same(out, whole)
    shutil.rmtree(out)
    return equal, middle


def start(name: str, options: list[str], out: Path) -> subprocess.Popen[bytes]:
    """A process that trains the study, saving after every chunk."""
    common = ["--seeds", str(SEEDS), "--checkpoint-every", "0", "--out", str(out)]
    command = [sys.executable, "-m", "jaxrl", "train", *name.split(), *options, *common]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        raise RuntimeError(f"{process.args!r} ended with exit code {process.returncode}")


def same(one: Path, two: Path) -> bool:
    """Whether two studies agree in every bit of curves, statuses and final states."""
    tables = [(load(path).runs, load(path).curves) for path in (one, two)]
    states = [
        [json.loads(file.read_text())["hashes"] for file in sorted(path.glob("checkpoints/*.json"))]
        for path in (one, two)
    ]
    try:
        for there, here in zip(*tables, strict=True):
            pd.testing.assert_frame_equal(there, here, check_exact=True)
    except AssertionError:
        return False
    return states[0] == states[1]
