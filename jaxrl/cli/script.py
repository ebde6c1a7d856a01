"""The options that all experiment scripts take, and how they change the scripts' studies."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.errors import InputError

QUICK_SEEDS = 4
FIRST_SEED = 2_000  # seeds from here on took no part in the choice of presets
QUICK_SHARE = 20  # --quick divides the steps by this
# What they mean: a part of the text that `jaxrl.cli.usage.run` takes.
OPTIONS = """
Args:
    seeds (N, A:B or A,B,C): seeds of each study: a count, a range or a list
    steps (INT): environment steps of each run
    out (FOLDER): the folder of the results
    json (FILE): where to write the table and the numbers behind it
    quick: a short form with few steps and few seeds or simulations, to see that it runs
"""


class Options(NamedTuple):
    """The values of the options. A study keeps its own seeds or steps where they are None."""

    seeds: str | None
    steps: int | None
    out: str | None
    quick: bool

    def size(self, *, seeds: int, steps: int, evaluations: int = 50, fresh: bool = False) -> dict[str, Any]:
        """The arguments seeds, steps and evaluate_every of `train`.

        The options replace the given seeds and steps, but not the number of evaluations. Fresh seeds are
        those from FIRST_SEED on.
        """
        if self.quick:
            seeds, steps = QUICK_SEEDS, steps // QUICK_SHARE
        if self.steps is not None:
            steps = self.steps
        return {
            "seeds": self.seeds or (f"{FIRST_SEED}:{FIRST_SEED + seeds}" if fresh else seeds),
            "steps": steps,
            "evaluate_every": max(steps // evaluations, 1),
        }

    def folder(self, name: str) -> str:
        """The results folder: --out, or runs/<name>, or runs/<name>-quick with --quick."""
        return self.out or f"runs/{name}{'-quick' if self.quick else ''}"


def writable(file: str | None) -> Path | None:
    """The path of a file that will be written after hours of work.

    Raises InputError at once if it cannot be written.
    """
    if file is None:
        return None
    path = Path(os.path.expanduser(file))
    try:
        path.open("a").close()
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from None
    return path
