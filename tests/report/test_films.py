"""Films in the report: which runs, what they show, how large they are, and where there is nothing to film."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from jax import random
from PIL import Image

from envs import FrozenLake
from jaxrl import InputError, load, train, write_report
from jaxrl.algorithms import QLearning
from jaxrl.cli import reading
from jaxrl.cli.commands import main
from jaxrl.mdp.environment import Environment
from jaxrl.report import films
from jaxrl.report.films import BYTES, FRAMES, PIXELS, Film, animation, ranked
from jaxrl.report.page import render
from jaxrl.report.summary import summarise
from jaxrl.store.playing import Moment, episode
from tests.report.sections import rng


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    train(
        QLearning(), FrozenLake(), seeds=4, steps=200, evaluate_every=200, evaluation_episodes=9, out=folder
    )
    return load(folder)


def test_the_best_the_median_and_the_worst_run_are_filmed(results, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "prepare", lambda: None)  # it would stay so for the tests that follow
    main(["report", str(results.path), "--films", "--out", str(tmp_path)])
    html = (tmp_path / "report.html").read_text()
    shown = re.findall(r'base64,([^"]*)" alt="An episode of run (\d)', html)
    scores = results.final()
    order = [int(run) for _, run in shown]
    assert len({*order}) == 3
    assert [scores[run] for run in order] == [max(scores), sorted(scores)[1], min(scores)]
    for gif, run in shown:
        moments = [*episode(results.policy(int(run)), random.key(0))]
        image = Image.open(io.BytesIO(base64.b64decode(gif)))
        assert image.size == (PIXELS, PIXELS)
        assert image.n_frames <= FRAMES
        steps = len(moments) - 1
        assert re.search(
            rf"run {run}, final score [^;]*; here return {moments[-1].episode_return:g} in {steps} step", html
        )


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], {}),
        ([3.0], {0: "best, median and worst"}),
        ([3.0, 2.0], {0: "best", 1: "median and worst"}),
        ([4.0, 1.0, 3.0, 2.0], {0: "best", 3: "median", 1: "worst"}),
    ],
)
def test_ranks(scores, expected):
    found = ranked(pd.DataFrame({"run": range(len(scores)), "score": scores}))
    assert list(found.items()) == list(expected.items())


class Noise:
    """An environment whose pictures no GIF makes small; the last state is black."""

    def render(self, state):
        noise = np.random.default_rng(state).integers(256, size=(480, 240, 3), dtype=np.uint8)
        return noise * np.uint8(state < 999)


def test_a_film_has_a_bounded_size_and_ends_with_the_last_state(monkeypatch):
    monkeypatch.setattr(films, "FRAMES", 20)
    gif = animation(Noise(), [Moment(state, 0.0) for state in range(1_000)])
    assert BYTES / 4 < len(gif) <= BYTES
    image = Image.open(io.BytesIO(gif))
    assert image.size == (PIXELS // 2, PIXELS)
    assert 1 < image.n_frames < 20
    image.seek(image.n_frames - 1)
    assert not np.asarray(image.convert("RGB")).any()


def test_nothing_to_film_is_one_sentence_and_no_report(results, tmp_path, monkeypatch):
    monkeypatch.setattr(FrozenLake, "render", Environment.render)  # as of an environment without pictures
    with pytest.raises(
        InputError, match=r"^there is nothing to film in FrozenLake-v1: a film needs a run with"
    ):
        write_report(results.path, out=tmp_path / "report", films=True)
    assert not (tmp_path / "report").exists()


def test_names_are_escaped(results):
    summary = summarise(results, rng())
    film = Film('"><script>', "best", 1, 0.5, 1.0, 3, "R0lG")
    html = render([summary], [[[], []]], "", [[[film]]])
    assert "An episode of run 1, &#34;&gt;&lt;script&gt;" in html
    assert 'run 1, "><script>' not in html
