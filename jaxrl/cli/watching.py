"""The command that shows a trained policy at play: watch."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jaxrl.cli import arguments as arg
from jaxrl.cli.starting import prepare
from jaxrl.errors import InputError

if TYPE_CHECKING:
    from jaxrl.mdp.environment import Environment
    from jaxrl.store.playing import Moment


def watch(
    folder: str,
    /,
    run: int,
    episodes: int = 1,
    fps: float = 4.0,
    gif: str | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Plays a run's final policy: in the terminal if the environment has a text form, else as a GIF.

    Args:
        folder: the results folder.
        run (INT): the run's number in runs.parquet.
        episodes (INT): how many greedy episodes are played in the terminal.
        fps (FLOAT): frames per second in the terminal.
        gif (FILE): where to write one episode as a GIF instead; run-N.gif without a text form.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jax import random

    from jaxrl.run.reproduce import write_gif
    from jaxrl.store.playing import episode
    from jaxrl.store.results import load

    if episodes < 1:
        raise InputError(f"--episodes must be at least 1, got {episodes}")
    if not 0.1 <= fps <= 1_000:
        raise InputError(f"--fps must be in [0.1, 1000], got {fps:g}")
    prepare()
    arg.import_trusted(trust)
    results = load(folder)
    policy = results.policy(run)
    env = policy.environment.arrays()
    first = next(episode(policy, random.key(0)))
    if gif is not None or not _has_text(env, first):
        print(f"{write_gif(results, run, gif or f'run-{run}.gif')} shows the policy of run {run}")
        return
    for number in range(episodes):
        _show(_pages(env, episode(policy, random.key(number))), 1 / fps)


def _has_text(env: "Environment", moment: "Moment") -> bool:
    try:
        env.text(moment.state)
    except InputError:
        return False
    return True


def _pages(env: "Environment", moments: "Iterator[Moment]") -> Iterator[str]:
    """Each moment as text, with the step and the return so far."""
    for step, moment in enumerate(moments):
        yield f"{env.text(moment.state)}\n\nstep {step}, return {moment.episode_return:g}"


def _show(pages: Iterator[str], seconds: float) -> None:
    """Shows pages one after the other, in place if the output is a terminal."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        for page in pages:
            print(page, end="\n\n")
        return
    with Live(console=console, auto_refresh=False) as live:
        for page in pages:
            live.update(Text(page), refresh=True)
            time.sleep(seconds)
