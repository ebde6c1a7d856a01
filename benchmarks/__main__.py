"""`python -m benchmarks environments` and `python -m benchmarks training`."""

import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks import environments, training
from jaxrl.results import machine

MEASURES: dict[str, Callable[[bool], Iterator[dict[str, Any]]]] = {
    "environments": environments.measure,
    "training": training.measure,
}


def main(
    name: tyro.conf.Positional[Literal["environments", "training"]],
    smoke: bool = False,
    json_file: Annotated[Path | None, tyro.conf.arg(name="json", metavar="FILE")] = None,
) -> None:
    """Measures steps per second on this machine, compilation apart.

    Args:
        name: what to measure.
        smoke: few sizes and one timed call each, to see that it runs.
        json_file: where to write the machine and every raw time.
    """
    rows = []
    table: Table | None = None
    for row in MEASURES[name](smoke):
        rows.append(row)
        what, size, rate = list(row)[:3]
        table = table or Table(what, size, "steps/s", "spread", "compile", box=None)
        spread = max(row["seconds"]) / min(row["seconds"]) - 1
        compilation = f"{row['compile_seconds']:.1f} s"
        table.add_row(row[what], f"{row[size]:,}", f"{row[rate]:,.0f}", f"{spread:.0%}", compilation)
    console = Console()
    console.print(table)
    calls = statistics.mode(len(row["seconds"]) for row in rows)
    console.print(f"median of {calls} calls; {machine()['device']}, {machine()['cores']} cores")
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks")
