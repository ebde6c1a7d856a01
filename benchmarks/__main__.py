"""`python -m benchmarks NAME`."""

import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console, Group
from rich.table import Table

from benchmarks import environments, kills, randomness, reporting, training
from benchmarks.peers import compare
from jaxrl.folder import machine

Row = dict[str, Any]


def throughput(rows: list[Row]) -> Group:
    """A table with a line for each row, whose first entries are what was measured, its size and the rate."""
    what, size, rate = list(rows[0])[:3]
    table = Table(what, size, "steps/s", "spread", "compile", box=None)
    for row in rows:
        spread = max(row["seconds"]) / min(row["seconds"]) - 1
        compilation = f"{row['compile_seconds']:.1f} s"
        table.add_row(row[what], f"{row[size]:,}", f"{row[rate]:,.0f}", f"{spread:.0%}", compilation)
    calls = statistics.mode(len(row["seconds"]) for row in rows)
    return Group(table, f"median of {calls} calls; {machine()['device']}, {machine()['cores']} cores")


MEASURES: dict[str, tuple[Callable[[bool, str], Iterator[Row]], Callable[[list[Row]], Group]]] = {
    "environments": (environments.measure, throughput),
    "training": (training.measure, throughput),
    "peers": (compare.measure, compare.report),
    "kills": (kills.measure, kills.report),
    "randomness": (randomness.measure, randomness.report),
    "reporting": (reporting.measure, reporting.report),
}


def main(
    name: tyro.conf.Positional[
        Literal["environments", "training", "peers", "kills", "randomness", "reporting"]
    ],
    only: str = "",
    smoke: bool = False,
    json_file: Annotated[Path | None, tyro.conf.arg(name="json", metavar="FILE")] = None,
) -> None:
    """Measures steps per second on this machine, compilation apart, or what survives a kill, or randomness.

    Args:
        name: what to measure. `peers` installs rejax and Stable-Baselines3 into the user's cache folder;
            `kills` counts the studies that end with the same bits after kill -9 and resume;
            `randomness` tests the generators' bits, for half an hour, with dieharder;
            `reporting` gives seconds of reports of 1,000 runs.
        only: of that, the pieces whose name contains this.
        smoke: few sizes and one timed call each, to see that it runs; installs nothing.
        json_file: where to write the machine and every raw time.
    """
    measure, report = MEASURES[name]
    rows = list(measure(smoke, only))
    if not rows:
        raise SystemExit(f"benchmarks: nothing in {name} has {only!r} in its name")
    Console().print(report(rows))
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks")
