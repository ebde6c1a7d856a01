"""Kills studies at random moments and resumes them: do they end with the bits of an undisturbed study?"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from rich.console import Group
from rich.table import Table

from jaxrl import InputError, Results, enable_compilation_cache, load, resume
from jaxrl.statistics import share_interval
from jaxrl.store.states import plain

SEEDS, WIDTH, KILLS = 64, 32, 50
OFF_POLICY = ["--set", "warmup=200", "--set", "capacity=2000", "--steps", "2000", "--evaluate-every", "250"]
WORK = {
    "q_learning GridWorld-v0": ["--steps", "4000", "--evaluate-every", "500"],
    "ppo CartPole-v1": ["--steps", "20480", "--evaluate-every", "2560"],
    "dqn CartPole-v1": OFF_POLICY,
    "sac Pendulum-v1": [*OFF_POLICY, "--set", "batch_size=64", "--set", "num_envs=8"],
    "discrete_sac CartPole-v1": [*OFF_POLICY, "--set", "batch_size=64", "--set", "num_envs=8"],
}


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each workload whose name contains `only`."""
    enable_compilation_cache()
    rng = np.random.default_rng(0)
    chosen = {name: options for name, options in WORK.items() if only in name}
    for name, options in [*chosen.items()][: 1 if smoke else None]:
        with tempfile.TemporaryDirectory() as folder:
            whole, killed = Path(folder) / "whole", Path(folder) / "killed"
            finish(start(name, options, whole))
            # Its programs are in the cache by now, as are those of the studies that are killed.
            seconds = seconds_of(name, options, Path(folder) / "again")
            outcomes = [
                killed_and_resumed(name, options, killed, rng.uniform(0, seconds), whole)
                for _ in range(2 if smoke else KILLS)
            ]
        if smoke and not all(equal for equal, _ in outcomes):
            raise RuntimeError(f"{name}: a study that was killed and resumed ended with other bits")
        yield {
            "work": name,
            "seeds": SEEDS,
            "seconds": seconds,
            "kills": len(outcomes),
            "equal": sum(equal for equal, _ in outcomes),
            "in_the_middle": sum(middle for _, middle in outcomes),
        }


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each workload."""
    table = Table("work", "seeds", "kills", "in the middle", "equal to the bit [95 %]", box=None)
    for row in rows:
        share = share_interval(row["equal"], row["kills"])
        equal = f"{row['equal']} of {row['kills']} [{share.low:.0%}, {share.high:.0%}]"
        table.add_row(row["work"], str(row["seeds"]), str(row["kills"]), str(row["in_the_middle"]), equal)
    return Group(table)


def killed_and_resumed(
    name: str, options: list[str], out: Path, seconds: float, whole: Path
) -> tuple[bool, bool]:
    """Kills a study `seconds` after its manifest appears, then resumes it.

    Returns whether it ends with the bits of `whole`, and whether it was incomplete when it was killed.
    """
    process = start(name, options, out)
    await_status(process, out, "running", "complete")
    try:
        finish(process, seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    middle = status(out) != "complete"
    resume(out, checkpoint_every=0)
    equal = same(out, whole)
    shutil.rmtree(out)
    return equal, middle


def seconds_of(name: str, options: list[str], out: Path) -> float:
    """Seconds of an undisturbed study from its manifest to its end."""
    process = start(name, options, out)
    await_status(process, out, "running", "complete")
    begin = time.monotonic()
    await_status(process, out, "complete")
    seconds = time.monotonic() - begin
    finish(process)
    return seconds


def await_status(process: subprocess.Popen[bytes], out: Path, *awaited: str) -> None:
    """Waits for one of these statuses of a process's study. Raises RuntimeError if it ends without."""
    ended = False
    while status(out) not in awaited:
        if ended:
            raise RuntimeError(f"{process.args!r} ended before its study was {awaited[0]}")
        ended = process.poll() is not None  # the status is read once more after that
        time.sleep(0.005)


def status(out: Path) -> str | None:
    """The status of a study; None before it has begun."""
    manifest = out / "manifest.json"
    return json.loads(manifest.read_text())["status"] if manifest.exists() else None


def start(name: str, options: list[str], out: Path) -> subprocess.Popen[bytes]:
    """Starts a process that trains the study and saves after every chunk."""
    common = ["--seeds", str(SEEDS), "--width", str(WIDTH), "--checkpoint-every", "0", "--out", str(out)]
    command = [sys.executable, "-m", "jaxrl", "train", *name.split(), *options, *common]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes], timeout: float | None = None) -> None:
    """Waits for the end of a process. Raises RuntimeError if it fails."""
    if process.wait(timeout):
        raise RuntimeError(f"{process.args!r} ended with exit code {process.returncode}")


def same(one: Path, two: Path) -> bool:
    """Whether two studies agree in every bit of curves, statuses and final states."""
    there, here = load(one), load(two)
    try:
        pd.testing.assert_frame_equal(there.runs, here.runs, check_exact=True)
        pd.testing.assert_frame_equal(there.curves, here.curves, check_exact=True)
        return states(there) == states(here)
    except (AssertionError, InputError):  # InputError for a damaged state
        return False


def states(results: Results) -> list[bytes]:
    """All bits of the saved states, array by array."""
    saved = [plain(results.state(batch)) for batch in results.batches]
    return [leaf.tobytes() for leaf in jax.tree.leaves(saved)]
