"""`python -m benchmarks.accelerator OUT` measures this machine's accelerator, the most important part first.

OUT receives accelerator.json, accelerator.log and the figures. Each part is a process with a time limit. A
part that fails or hangs costs the others nothing, and the rows that it had measured are kept.
"""

import argparse
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

from benchmarks.processes import ROOT
from benchmarks.turns import FILE

PARTS = {  # seconds that each may take
    "device": 45,
    "training": 210,
    "peers": 120,
    "study": 80,
    "exactness": 120,
    "tests": 120,
    "options": 100,
    "environments": 40,
}
UNTIMED = {"exactness", "tests"}  # these run side by side


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__)
    parser.add_argument("out", type=Path, help="the folder of the results")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS], help="these parts alone")
    parser.add_argument(
        "--seconds", type=float, default=470, help="the most that all parts may take together"
    )
    parser.add_argument("--smoke", action="store_true", help="little of everything, to see that it runs")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        measure(arguments.part, arguments.out, arguments.smoke)
    else:
        end = time.monotonic() + arguments.seconds
        sys.exit(measure_all(arguments.only, arguments.out, arguments.smoke, end))


def measure(part: str, file: Path, smoke: bool) -> None:
    """Measures a part in this process and adds each row to the file as soon as it is known."""
    for row in importlib.import_module(f"benchmarks.accelerator.{part}").measure(smoke):
        with file.open("a") as rows:
            rows.write(json.dumps(row) + "\n")


def measure_all(parts: list[str], out: Path, smoke: bool, end: float) -> int:
    """Measures the parts until the clock shows `end`. Returns the exit code: 1 if any of them failed."""
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    with (out / "accelerator.log").open("w") as log:

        def run(part: str) -> None:
            results[part] = measured(part, smoke, log, min(PARTS[part], end - time.monotonic()))
            print(f"{part}: {results[part]['status']}, {results[part]['seconds']:.0f} s", flush=True)
            (out / "accelerator.json").write_text(json.dumps(results, indent=1) + "\n")

        for _, together in itertools.groupby(parts, lambda part: part in UNTIMED or part):
            with ThreadPoolExecutor() as pool:
                list(pool.map(run, together))
    from benchmarks.accelerator import figures  # loads matplotlib, which no part waits for

    figures.save_all(results, out)
    return int(any(result["status"] != "complete" for result in results.values()))


def measured(part: str, smoke: bool, log: TextIO, limit: float) -> dict[str, Any]:
    """The rows of a part that may take `limit` seconds, its status and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows"
        file.touch()
        command = [sys.executable, "-m", "benchmarks.accelerator", str(file), "--part", part]
        variables = {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share the device's memory
            FILE: str(Path(folder) / "turns"),
            **os.environ,
        }
        start = time.monotonic()
        process = subprocess.Popen(
            command + ["--smoke"] * smoke,
            cwd=ROOT,
            env=variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            status = "failed" if process.wait(max(limit, 0)) else "complete"
        except subprocess.TimeoutExpired:
            status = f"ended after {limit:.0f} s"
        finally:
            end_group(process)
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    if any("failed" in row for row in rows):
        status = "failed"
    return {"status": status, "seconds": time.monotonic() - start, "rows": rows}


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


if __name__ == "__main__":
    main()
