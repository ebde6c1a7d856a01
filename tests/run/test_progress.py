"""What a training shows while it runs."""

import re

import numpy as np
import pytest
from rich.console import Console

from envs import GridWorld
from jaxrl import train
from jaxrl.algorithms import QLearning
from jaxrl.run import progress
from jaxrl.run.callbacks import ChunkReport

RUNS = ("run",) * 3


def report(step, advanced, **metrics):
    return ChunkReport(RUNS, step, advanced, {name: np.array(values) for name, values in metrics.items()})


@pytest.fixture
def seconds(monkeypatch):
    """The clock, which the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then(seconds, capsys):
    """The speed is that after compiling. What is not known yet is left out."""
    with progress.progress_shown(3_000, 0) as callback:
        seconds[0] = 20.0
        callback(report(0, 0))
        seconds[0] = 25.0
        callback(report(100, 100, **{"return": [1.0, np.nan, 4.0]}))
        seconds[0] = 30.0
        callback(report(200, 100, **{"return": [np.nan] * 3}))
        seconds[0] = 39.0
        callback(report(1_000, 800))
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d 0 of 3,000 steps \(0%\)", first)
    assert second[9:] == "600 of 3,000 steps (20%), 60 steps/s, return 2.5, 0:00:40 left"


def test_a_terminal_gets_a_bar_that_says_what_it_waits_for(seconds, monkeypatch, capsys):
    monkeypatch.setattr(
        progress, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=120)
    )
    with progress.progress_shown(3_000, 300) as callback:
        callback.progress.refresh()
        with callback.evaluating():
            seconds[0] += 130.0
            callback.progress.refresh()
        callback(report(0, 0))
        seconds[0] += 1.0
        callback(report(300, 300, **{"return": [2.0] * 3}))
    shown = capsys.readouterr().err
    assert "300/3,000 steps compiling \x1b" in shown
    assert "300/3,000 steps compiling, evaluating for 0:02:10" in shown
    assert "1,200/3,000 steps 900 steps/s, return 2.0" in shown
    assert "nan" not in shown


def test_a_training_says_when_it_evaluates(tmp_path, monkeypatch):
    begun, evaluating = [], progress.Display.evaluating
    monkeypatch.setattr(progress.Display, "evaluating", lambda self: begun.append(1) or evaluating(self))
    size = {"seeds": 1, "steps": 32, "evaluate_every": 16, "evaluation_episodes": 1}
    train(QLearning(), GridWorld(), out=tmp_path / "study", **size)
    assert len(begun) == 3


@pytest.mark.parametrize("installed", [True, False])
def test_a_notebook_gets_a_bar_if_the_package_for_it_is_there(installed, monkeypatch):
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(stderr=stderr, force_jupyter=True))
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda _: installed or None)
    for method in ("start", "stop"):  # they need a notebook
        monkeypatch.setattr(progress.Progress, method, lambda _: None)
    with progress.progress_shown(3_000, 0) as shown:
        assert isinstance(shown, progress.Bar if installed else progress.Lines)


def test_a_log_says_once_that_an_evaluation_lasts(seconds, capsys):
    """Also the first one, before any step."""
    with progress.progress_shown(3_000, 0) as callback:
        for end in (25.0, 25.5, 50.0):
            with callback.evaluating():
                while seconds[0] < end:
                    seconds[0] += 0.5
                    callback.tick()
            callback(report(0, 0))
    assert [line[9:] for line in capsys.readouterr().err.splitlines()] == [
        "0 of 3,000 steps (0%), compiling, evaluating for 0:00:10",
        "0 of 3,000 steps (0%)",
        "0 of 3,000 steps (0%), evaluating for 0:00:10",
        "0 of 3,000 steps (0%)",
    ]
