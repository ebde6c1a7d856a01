"""A whole study through the command line, with evaluation, states and tables, and nothing compiled before."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxrl import load


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for a study of PPO: its wall-clock seconds, and what they were spent on."""
    seeds, steps = (2, 5_120) if smoke else (1_024, 500_000)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "study"
        options = ["--seeds", str(seeds), "--steps", str(steps), "--out", str(out)]
        command = [sys.executable, "-m", "jaxrl", "train", "ppo", "CartPole-v1", *options]
        start = time.monotonic()
        subprocess.run(
            command,
            check=True,
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "cache")},
        )
        seconds = time.monotonic() - start
        manifest = json.loads((out / "manifest.json").read_text())
        last = load(out).curves.query("metric == 'eval_return' and step == step.max()")
        yield {
            "study": f"ppo CartPole-v1, {seeds:,} seeds x {steps:,} steps",
            "wall_seconds": seconds,
            "seconds": manifest["seconds"],
            "final_return": float(last["value"].mean()),
        }
