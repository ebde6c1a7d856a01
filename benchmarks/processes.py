"""Calls in fresh processes, which share neither memory nor compiled programs."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def in_fresh_process(
    function: Callable[..., dict[str, Any]], *arguments: Any, **variables: str
) -> dict[str, Any]:
    """The result of a module's function in a fresh process, in which every core is a device.

    Arguments and result pass through JSON. `variables` are added to the environment variables.
    """
    name = (function.__module__, function.__name__)
    command = [sys.executable, "-m", "benchmarks.processes", *name, json.dumps(arguments)]
    return ask(command, {**os.environ, **variables})


def ask(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The JSON that a command prints as its last line. Raises RuntimeError if it fails."""
    # The process runs in the checkout, and another framework's process must not find our packages.
    variables = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2_000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(module: str, name: str, arguments: str) -> None:
    """The other side of `in_fresh_process`."""
    from jaxrl import use_all_cores

    use_all_cores()
    function = getattr(importlib.import_module(module), name)
    print(json.dumps(function(*json.loads(arguments))))


if __name__ == "__main__":
    main(*sys.argv[1:])
