"""What does every algorithm reach? Final scores of 128 seeds and more, with intervals and published scores.

python experiments/results.py, some hours on two cores; results.toml has the rows. A row that was trained
before is read from the folder of the results, and an unfinished one is finished.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl import InputError, Results, load, preset
from jaxrl.cli.commands import main as jaxrl
from jaxrl.cli.script import OPTIONS, QUICK_SEEDS, QUICK_SHARE, Options
from jaxrl.cli.usage import run
from jaxrl.errors import unknown
from jaxrl.statistics import mean_interval, solve_share, tolerance_interval
from jaxrl.text import estimate, file_name, number, percent

ROWS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
FIRST_SEED = 2_000  # seeds from here on took no part in the choice of settings
HEAD = """\
| `jaxrl train` | steps | seeds | mean [95 %] | 90 % of runs | solved [95 %] | reference |
|---|---|---|---|---|---|---|
"""
TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end of the table -->)", re.DOTALL)
OPTIONS_HERE = f"""
    page (FILE): a Markdown page whose table is replaced, with the rows beside it in a folder of its name
    rows (ROW): each in quotes, all by default: {", ".join(ROWS)}
"""


def command(name: str, seeds: str | None, steps: int | None, quick: bool) -> list[str]:
    """The arguments of `jaxrl train` for a row, but for its folder."""
    words = shlex.split(name)
    usual = preset(*words[:2])
    count = QUICK_SEEDS if quick else usual["seeds"]
    words += ["--preset", "--seeds", seeds or f"{FIRST_SEED}:{FIRST_SEED + count}"]
    if quick and steps is None:
        steps = usual["steps"] // QUICK_SHARE
    return words if steps is None else [*words, "--steps", str(steps)]


def trained(words: Sequence[str], folder: Path) -> Results:
    """The results of a command, trained, finished or read."""
    if (folder / "manifest.json").exists() and load(folder).manifest["status"] == "running":
        jaxrl(["resume", str(folder)])
    else:
        jaxrl(["train", *words, "--out", str(folder)])
    return load(folder)


def kept(name: str, words: Sequence[str], results: Results) -> dict[str, Any]:
    """What is kept of a row: the command, the manifest and the final scores in order of the runs."""
    scores = [None if np.isnan(score) else score for score in results.final()]
    return {"row": name, "command": shlex.join(words), "manifest": results.manifest, "scores": scores}


def line(row: dict[str, Any]) -> str:
    """A line of the table."""
    scores = np.array(row["scores"], float)
    aim, tolerance = ROWS[row["row"]]["aim"], tolerance_interval(scores)
    cells = [
        f"`{row['command']}`",
        f"{row['manifest']['study']['steps']:,}",
        f"{len(scores):,}",
        estimate(mean_interval(scores, np.random.default_rng(0))),
        f"{number(tolerance.low)} to {number(tolerance.high)}" if tolerance else "",
        f"≥ {number(aim)}: {percent(solve_share(scores, aim))}",
        ROWS[row["row"]]["reference"],
    ]
    return f"| {' | '.join(cells)} |\n"


def main(
    rows: Sequence[str] = (),
    /,
    seeds: str | None = None,
    steps: int | None = None,
    out: str | None = None,
    page: str | None = None,
    quick: bool = False,
) -> None:
    for name in rows:
        if name not in ROWS:
            raise unknown("row", name, ROWS)
    if page is not None and not (Path(page).is_file() and TABLE.search(text := Path(page).read_text())):
        raise InputError(f"{page} has no table between <!-- table --> and <!-- end of the table -->")
    folder = Path(Options(seeds, steps, out, quick).folder("results"))
    beside = folder / "rows" if page is None else Path(page).with_suffix("")
    beside.mkdir(parents=True, exist_ok=True)
    for name in rows or ROWS:
        words = command(name, seeds, steps, quick)
        row = kept(name, words, trained(words, folder / file_name(name)))
        (beside / f"{file_name(name)}.json").write_text(json.dumps(row) + "\n")
        print(line(row), end="", flush=True)
    files = [beside / f"{file_name(name)}.json" for name in ROWS]
    table = HEAD + "".join(line(json.loads(file.read_text())) for file in files if file.exists())
    if page is not None:
        Path(page).write_text(TABLE.sub(lambda _: table, text))


if __name__ == "__main__":
    run(main, "experiments/results.py", text=__doc__ + OPTIONS + OPTIONS_HERE)
