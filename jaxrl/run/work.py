"""Training of one study by several processes, on one machine or on many that share a folder.

Every process trains a fixed share of the batches. None of them knows of the others, and no process hands out
work: see `jaxrl.store.sharing`.
"""

import dataclasses
import os
import re
import secrets
import sys
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from jaxrl.compiled.lane_memory import parse_bytes
from jaxrl.errors import InputError, with_urls
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.run.callbacks import Callback
from jaxrl.run.progress import say
from jaxrl.run.train import check_options
from jaxrl.run.workers import train_plan
from jaxrl.store.files import is_url
from jaxrl.store.results import Results, load
from jaxrl.store.sharing import beside_others, finish_together
from jaxrl.store.working_copy import opened
from jaxrl.study.batch import Batch
from jaxrl.study.plan import Plan, make_plan
from jaxrl.study.study import make_study
from jaxrl.text import command, counted


def plan(
    algorithm: Algorithm | Sequence[Algorithm],
    environment: Environment | Sequence[Environment],
    *,
    out: str | os.PathLike[str],
    width: int | None = None,
    memory: str | float | None = None,
    **study: Any,
) -> Path | str:
    """Writes a study and its plan into a folder and trains nothing, so that `work` can train it.

    Args:
      algorithm, environment, width, memory: as in `jaxrl.train`.
      out: the results folder, or a URL such as s3://bucket/lakes. An equal study that it holds already stays
        as it is.
      study: seeds, steps, evaluate_every, evaluation_episodes, evaluation_steps, evaluate_in, prng and
        precision, as in `jaxrl.train`.

    Returns the folder or the URL. Raises InputError as `jaxrl.train` does.
    """
    made, folder = make_study(algorithm, environment, **study), opened(out)
    place = with_urls(folder.path) if is_url(out) else folder.path
    if not folder.empty:
        status = folder.require_same(made, width)["status"]
        say(f"{folder.path} holds this study already, {status}: it stays as it is")
        return place
    planned = make_plan(made, width, None if memory is None else parse_bytes(memory))
    with folder.locked():
        folder.create(made, planned, "planned")
    say(str(planned))
    return place


def work(
    path: str | os.PathLike[str],
    *,
    shard: tuple[int, int] = (0, 1),
    force: bool = False,
    checkpoint_every: float | None = None,
    callbacks: Sequence[Callback] = (),
) -> Results | None:
    """Trains a share of the batches of an unfinished study, while other processes train other shares.

    Args:
      path: the results folder, which all processes share, or the URL.
      shard: (i, n) for the share of batches i, i + n, i + 2n, ... of the plan.
      force: whether to train although jax, the device or the code differ from those of the first worker. The
        records of the batches then hold what differs.
      checkpoint_every, callbacks: as in `jaxrl.train`.

    Returns the results if the study is complete, and None if other shares are not done.

    Raises:
      InputError: a folder that cannot be trained here, a bad shard, or a batch for which another process has
        found other bits.
      KeyboardInterrupt: as in `jaxrl.train`.
    """
    check_options(checkpoint_every, callbacks)
    index, count = _checked(shard)
    folder = opened(path, writer=secrets.token_hex(4))
    if folder.manifest()["status"] != "complete":
        with beside_others(folder, force) as study:
            width = folder.manifest()["plan"]["width"]
            plan = make_plan(study, width, sys.maxsize)  # the width was chosen to fit the memory
            share = part_of(plan, plan.batches[index::count])
            batches = counted(len(plan.batches), "batch")
            say(f"shard {index}/{count} of {folder.path}: {len(share.batches):,} of {batches}")
            then = f"continue with: {command('work', folder.path, '--shard', f'{index}/{count}')}"
            train_plan(study, share, folder, checkpoint_every, callbacks, then)
        if not finish_together(folder, study, plan.batches):
            return None
    return load(folder.path)


def part_of(plan: Plan, batches: Sequence[Batch]) -> Plan:
    """The plan of some of its batches."""
    steps = sum(len(batch.runs) * batch.iterations * batch.steps_per_iteration for batch in batches)
    return dataclasses.replace(plan, batches=tuple(batches), steps=steps)


def parse_shard(text: str) -> tuple[int, int]:
    """The shard in a text such as "0/4". Raises InputError for anything else."""
    if not (found := re.fullmatch(r"(\d+)/(\d+)", text)):
        raise InputError(
            f"shard must be I/N with 0 <= I < N, such as 0/4 for the first of four, got {text!r}"
        )
    return _checked((int(found[1]), int(found[2])))


def _checked(shard: Sequence[int]) -> tuple[int, int]:
    """The shard. Raises InputError unless it is (i, n) with 0 <= i < n."""
    pair = isinstance(shard, tuple | list) and len(shard) == 2
    whole = pair and all(isinstance(each, Integral) for each in shard)
    if not whole or not 0 <= shard[0] < shard[1]:
        shown = "/".join(map(str, shard)) if whole else repr(shard)
        raise InputError(f"shard must be I/N with 0 <= I < N, such as 0/4 for the first of four, got {shown}")
    return int(shard[0]), int(shard[1])
