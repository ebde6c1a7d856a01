"""Films for the report: a greedy episode of the best, the median and the worst run of each setting drawn."""

import base64
import dataclasses
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jax import random
from PIL import Image

from jaxrl.errors import InputError
from jaxrl.mdp.environment import Environment
from jaxrl.report.summary import Section, Summary
from jaxrl.store.playing import Moment, episode, frames
from jaxrl.store.policy import Policy
from jaxrl.store.results import Results
from jaxrl.text import listed

FRAMES = 100  # of a film at most, evenly spaced over the episode
PIXELS = 240  # of a film's longer side at most
BYTES = 300_000  # of a film at most; a larger one is drawn again with half as many frames


@dataclasses.dataclass(frozen=True)
class Film:
    """One episode of a run's final policy."""

    setting: str
    rank: str  # such as "best"
    run: int
    score: float  # the run's final one
    episode_return: float
    steps: int
    gif: str  # base64


def films_of_studies(studies: Sequence[Results], summaries: Sequence[Summary]) -> list[list[list[Film]]]:
    """`films_of` each study's environments in turn. Raises InputError if there is no film at all."""
    films = [
        [films_of(results, section) for section in summary.sections]
        for results, summary in zip(studies, summaries, strict=True)
    ]
    if not any(any(of_study) for of_study in films):
        names = listed([section.environment for summary in summaries for section in summary.sections])
        raise InputError(
            f"there is nothing to film in {names}: a film needs a run with a final score, "
            "in an environment that draws pictures"
        )
    return films


def films_of(results: Results, section: Section) -> list[Film]:
    """Films of an environment's settings drawn; none where it draws no pictures or no run has a score."""
    films: list[Film] = []
    for setting in section.shown:
        scores = section.scores[section.scores["setting"] == setting].dropna(subset="score")
        for run, rank in ranked(scores).items():
            policy = results.policy(run)
            if not films and not draws(policy):
                return []
            moments = [*episode(policy, random.key(0))]
            score = float(scores.set_index("run")["score"][run])
            gif = base64.b64encode(animation(policy.environment.arrays(), moments)).decode()
            films.append(Film(setting, rank, run, score, moments[-1].episode_return, len(moments) - 1, gif))
    return films


def ranked(scores: pd.DataFrame) -> dict[int, str]:
    """The best, the median and the worst run of a setting, each with what it is.

    The median of an even number of runs is the lower one of the two in the middle.
    """
    runs = [int(run) for run in scores.sort_values("score", kind="stable")["run"]]
    if not runs:
        return {}
    places = {"best": runs[-1], "median": runs[(len(runs) - 1) // 2], "worst": runs[0]}
    return {run: listed([name for name, of in places.items() if of == run]) for run in places.values()}


def draws(policy: Policy) -> bool:
    """Whether the policy's environment draws pictures."""
    try:
        next(frames(policy, random.key(0)))
    except InputError:
        return False
    return True


def animation(env: Environment, moments: Sequence[Moment]) -> bytes:
    """Moments as a GIF of at most BYTES, which one frame never needs. The last frame stays for a second."""
    most = FRAMES
    while True:
        places = np.linspace(0, len(moments) - 1, min(most, len(moments))).round().astype(int)
        images = [Image.fromarray(env.render(moments[place].state)) for place in places]
        for image in images:
            image.thumbnail((PIXELS, PIXELS))
        file = io.BytesIO()
        milliseconds = [50] * (len(images) - 1) + [1_000]
        images[0].save(
            file, format="GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0
        )
        if file.tell() <= BYTES:
            return file.getvalue()
        most //= 2
