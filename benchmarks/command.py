"""Runs a benchmark: prints its table, and writes its figure and every raw time into a folder."""

import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from matplotlib.figure import Figure
from rich.console import Console, Group

import envs
from benchmarks import (
    compilation,
    environments,
    figures,
    kills,
    randomness,
    reporting,
    seeds,
    studies,
    tabular,
    training,
)
from benchmarks.peers import compare
from benchmarks.processes import in_fresh_process
from jaxrl.errors import InputError, unknown
from jaxrl.store.files import located
from jaxrl.store.provenance import machine

RESULTS = Path(__file__).with_name("results")
PACKAGES = ("gymnasium", "gymnax", "numpy")  # compared with ours; `machine` lists what ours uses
WIDTH = 120  # of a table, also without a terminal

Row = dict[str, Any]


class Benchmark(NamedTuple):
    measure: Callable[[bool, str], Iterator[Row]]  # (smoke, only); runs before anything uses jax
    report: Callable[[list[Row]], Group]
    draw: Callable[[list[Row]], Figure]
    workers: bool  # whether it measures in other processes, in which every core is a device


BENCHMARKS = {
    "compile": Benchmark(compilation.measure, compilation.report, figures.compilation, True),
    "environments": Benchmark(environments.measure, environments.report, figures.environments, False),
    "kills": Benchmark(kills.measure, kills.report, figures.kills, True),
    "numpy": Benchmark(tabular.measure, tabular.report, figures.tabular, True),
    "peers": Benchmark(compare.measure, compare.report, figures.peers, True),
    "randomness": Benchmark(randomness.measure, randomness.report, figures.randomness, False),
    "reporting": Benchmark(reporting.measure, reporting.report, figures.reporting, False),
    "seeds": Benchmark(seeds.measure, seeds.report, figures.seeds, True),
    "study": Benchmark(studies.measure, studies.report, figures.studies, True),
    "training": Benchmark(training.measure, training.report, figures.training, True),
}


def run(name: str, only: str, smoke: bool, out: str | None) -> None:
    """Measures, prints, and writes `<name>.json` and `<name>.png`.

    The files go to `out`, or to this device's results if everything was measured. Otherwise nothing is
    written. Raises InputError for an unknown benchmark, or if nothing in it has `only` in its name.
    """
    if name not in BENCHMARKS:
        raise unknown("benchmark", name, BENCHMARKS)
    # Workers need GPU memory beside this process.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    benchmark = BENCHMARKS[name]
    rows = list(benchmark.measure(smoke, only))
    if not rows:
        raise InputError(f"nothing in the benchmark {name} has {only!r} in its name")
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(benchmark.report(rows))
    if out is not None or not (smoke or only):
        folder = RESULTS / device_name() if out is None else located(out)
        write(folder, name, rows)
        console.print(f"written: {folder / name}.json and .png", highlight=False)


def write(folder: Path, name: str, rows: list[Row]) -> None:
    """Writes the machine, the versions and every row as JSON, and the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    versions |= {"envs": hash_of_environments()}
    measured_on = in_fresh_process(machine) if BENCHMARKS[name].workers else machine()
    content = {"machine": measured_on, "versions": versions, "rows": rows}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    figures.save(BENCHMARKS[name].draw, rows, folder / f"{name}.png")


def hash_of_environments() -> str:
    """A hash of the source of envs. The machine's "code" is a hash of jaxrl's."""
    files = sorted(Path(envs.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def device_name() -> str:
    """The name of the folder of this device's results: cpu-2-cores, nvidia-h100."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"cpu-{os.cpu_count()}-cores"
    words = re.sub(r"[^a-z0-9]+", "-", device.device_kind.lower())
    return re.sub(r"-\d+gb.*", "", words)
