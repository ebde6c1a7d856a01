"""A selected part of the test suite, on this device."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.processes import ROOT

CHOSEN = (
    "tests/compiled/test_engine.py",
    "tests/learning",
    "tests/random",
    "tests/algorithms/test_pairs.py",
    "tests/algorithms/test_ppo.py",
    "tests/run/test_reproduce.py",
)


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """One row: pytest's last line and the tests that failed."""
    chosen = ("tests/learning/test_returns.py",) if smoke else CHOSEN
    options = [
        "-q",
        "-n",
        "2" if smoke else "10",
        "--timeout",
        "120",
        "-p",
        "no:cacheprovider",
        "--dist",
        "load",
    ]
    command = [sys.executable, "-m", "pytest", *options, *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout[-40_000:], done.stderr[-4_000:])
    failed = re.findall(r"^(?:FAILED|ERROR) (.*)", done.stdout, re.MULTILINE)
    yield {"tests": done.stdout.strip().splitlines()[-1:], "not passed": failed}
