"""A selected part of the test suite, on this device."""

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
    """One row: pytest's last line and the tests that failed. The log has everything as it comes."""
    chosen = ("tests/learning/test_returns.py",) if smoke else CHOSEN
    options = (
        f"-q -n {2 if smoke else 8} --dist load --timeout 120 -p no:cacheprovider -p no:benchmark".split()
    )
    command = [sys.executable, "-m", "pytest", *options, *chosen]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.strip())
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    yield {"tests": lines[-1], "not passed": failed}
