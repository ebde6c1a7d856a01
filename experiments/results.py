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

from jaxrl import InputError, Results, load, preset, registry
from jaxrl.cli.commands import main as jaxrl
from jaxrl.cli.script import FIRST_SEED, OPTIONS, QUICK_SEEDS, QUICK_SHARE, Options
from jaxrl.cli.usage import run
from jaxrl.errors import unknown
from jaxrl.statistics import mean_interval, solve_share, tolerance_interval
from jaxrl.text import estimate, file_name, number, percent, with_failed

ROWS: dict[str, str] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
HEAD = """\
| environment | algorithm | steps | runs | mean [95 %] | 90 % of runs | solved [95 %] | reference | command |
|---|---|---|---|---|---|---|---|---|
"""
TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end of the table -->)", re.DOTALL)
OPTIONS_HERE = f"""
    page (FILE): a Markdown page whose table is replaced, with the rows beside it in a folder of its name
    rows (ROW): each in quotes, all by default: {", ".join(ROWS)}
"""


def command(name: str, seeds: str | None, steps: int | None, quick: bool) -> list[str]:
    """The arguments of `jaxrl train` for a row, but for its folder and its width."""
    words = shlex.split(name)
    usual = preset(*words[:2])
    count = QUICK_SEEDS if quick else usual["seeds"]
    words += ["--preset", "--seeds", seeds or f"{FIRST_SEED}:{FIRST_SEED + count}"]
    if quick and steps is None:
        steps = usual["steps"] // QUICK_SHARE
    return words if steps is None else [*words, "--steps", str(steps)]


def trained(words: Sequence[str], folder: Path) -> Results:
    """The results of a command, trained, finished or read."""
    manifest = folder / "manifest.json"
    if manifest.exists() and json.loads(manifest.read_text())["status"] == "running":
        jaxrl(["resume", str(folder)])
    else:
        jaxrl(["train", *words, "--out", str(folder)])
    return load(folder)


def kept(name: str, words: Sequence[str], results: Results) -> dict[str, Any]:
    """What is kept of a row: names, the command, the manifest and the final scores in order of the runs."""
    study, width = results.study, str(results.manifest["plan"]["width"])
    solved = study.environments[0].solved_return
    return {
        "row": name,
        "environment": registry.label_of(study.environments[0]),
        "algorithm": registry.label_of(study.algorithms[0]),
        "command": shlex.join([*words, "--width", width]),
        "solved_return": None if solved is None else float(solved),
        "scores": [None if np.isnan(score) else score for score in results.final()],
        "manifest": results.manifest,
    }


def line(row: dict[str, Any]) -> str:
    """A line of the table."""
    scores, aim = np.array(row["scores"], float), row["solved_return"]
    tolerance = tolerance_interval(scores)
    cells = [
        row["environment"],
        row["algorithm"],
        f"{row['manifest']['study']['steps']:,}",
        with_failed(f"{len(scores):,}", int(np.isnan(scores).sum())),
        estimate(mean_interval(scores, np.random.default_rng(0))),
        f"{number(tolerance.low)} to {number(tolerance.high)}" if tolerance else "",
        "" if aim is None else f"≥ {number(aim)}: {percent(solve_share(scores, aim))}",
        ROWS[row["row"]],
        f"`{row['command']}`",
    ]
    return f"| {' | '.join(cells)} |\n"


def replace_table(page: Path) -> None:
    """Writes the table of all rows beside a page into it."""
    files = [page.with_suffix("") / f"{file_name(name)}.json" for name in ROWS]
    table = HEAD + "".join(line(json.loads(file.read_text())) for file in files if file.exists())
    page.write_text(TABLE.sub(lambda _: table, page.read_text()))


def keep(row: dict[str, Any], page: Path) -> None:
    """Writes a row beside a page, and the page's table. Raises InputError for a row of another command."""
    file = page.with_suffix("") / f"{file_name(row['row'])}.json"
    if file.exists() and (known := json.loads(file.read_text())["command"]) != row["command"]:
        raise InputError(f"{file} is of another command, {known}; remove it or give another page")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(row) + "\n")
    replace_table(page)


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
    path = None if page is None else Path(page).expanduser()
    if path is not None and not (path.is_file() and TABLE.search(path.read_text())):
        raise InputError(f"{page} has no table between <!-- table --> and <!-- end of the table -->")
    folder = Path(Options(seeds, steps, out, quick).folder("results"))
    for name in rows or ROWS:
        words = command(name, seeds, steps, quick)
        row = kept(name, words, trained(words, folder / file_name(name)))
        print(line(row), end="", flush=True)
        if path is not None:
            keep(row, path)


if __name__ == "__main__":
    run(main, "experiments/results.py", text=__doc__ + OPTIONS + OPTIONS_HERE)
