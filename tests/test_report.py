import dataclasses
import re
import shutil
import subprocess

import numpy as np
import plotly.graph_objects as go
import pytest

from envs import FrozenLake, GridWorld
from jaxrl import InputError, grid, train, write_report
from jaxrl.algorithms import PPO, QLearning
from jaxrl.report.figures import learning_curves, sparkline
from jaxrl.report.page import number
from jaxrl.report.summary import settings_of, summarise

SETTINGS = {"seeds": 5, "steps": 600, "evaluate_every": 100, "evaluation_episodes": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two studies in one folder: two environments and two settings, and one of another algorithm."""
    folder = tmp_path_factory.mktemp("studies")
    algorithms = grid(QLearning(), learning_rate=[0.1, 0.5])
    train(algorithms, [FrozenLake(), GridWorld()], out=folder / "tables", **SETTINGS)
    train(PPO(num_steps=16), GridWorld(size=3), out=folder / "network", **SETTINGS)
    write_report(folder)
    return folder


def study(folder, name):
    from jaxrl import load

    return load(folder / name)


def test_sections_are_environments_and_settings_differ_by_more_than_the_seed(folder):
    sections = summarise(study(folder, "tables"), np.random.default_rng(0))
    assert [section.environment for section in sections] == ["FrozenLake-v1", "GridWorld-v0"]
    labels = ["q_learning learning_rate=0.1", "q_learning learning_rate=0.5"]
    assert [[setting.label for setting in section.settings] for section in sections] == [labels, labels]
    assert all(setting.runs == 5 for section in sections for setting in section.settings)


def test_numbers_are_those_of_the_tables(folder):
    results = study(folder, "tables")
    setting = summarise(results, np.random.default_rng(0))[1].settings[1]
    runs = results.runs[(results.runs.environment == "GridWorld-v0") & (results.runs.learning_rate == 0.5)]
    final = results.metric("eval_return").loc[runs.run, 600]
    assert setting.final.estimate == pytest.approx(final.mean())
    assert setting.final.low <= final.mean() <= setting.final.high
    assert setting.solved.estimate == (final >= runs.solved_return.iloc[0]).mean()
    np.testing.assert_allclose(setting.evaluation.mean[-1], final.mean())


def test_failed_runs_count_as_unsolved_and_leave_the_mean(folder):
    results = study(folder, "tables")
    runs = results.runs.assign(status=np.where(results.runs.seed == 0, "failed", "complete"))
    results = dataclasses.replace(results, runs=runs)
    (label, members), *_ = settings_of(runs[runs.environment == "GridWorld-v0"])
    from jaxrl.report.summary import summarise_setting

    setting = summarise_setting(results, label, members, np.random.default_rng(0))
    assert setting.failed == 1
    assert np.isnan(setting.evaluation.values).all(axis=1).sum() == 1
    assert np.isnan(setting.scores).sum() == 1
    final = results.metric("eval_return").loc[members.run[members.seed > 0], 600]
    assert setting.final.estimate == pytest.approx(final.mean())
    assert setting.solved.estimate <= 4 / 5


def test_studies_without_an_episode_and_with_one_run(tmp_path):
    """No training episode ends within the budget of the second setting, none of the only run's."""
    worlds = grid(GridWorld(), max_steps=[2, 500])
    train(QLearning(), worlds, seeds=2, steps=20, out=tmp_path / "some")
    train(QLearning(), GridWorld(max_steps=500), seeds=1, steps=10, out=tmp_path / "none")
    html = write_report(tmp_path).read_text()
    assert "(no interval)" in html
    assert html.count("<section>") == 3


def test_thresholds_are_those_of_each_setting(tmp_path):
    results = train(QLearning(), grid(GridWorld(), size=[3, 5]), seeds=2, steps=20, out=tmp_path / "sizes")
    (section,) = summarise(results, np.random.default_rng(0))
    assert [setting.threshold for setting in section.settings] == pytest.approx([9.7, 9.3], abs=1e-3)


def test_every_trace_is_a_line(folder, monkeypatch):
    """Plotly marks the points of short curves unless told otherwise."""
    figures = []
    monkeypatch.setattr(go.Figure, "to_html", lambda self, **_: figures.append(self) or "")
    section, *_ = summarise(study(folder, "tables"), np.random.default_rng(0))
    learning_curves(section.settings, "training", "title")
    assert len(figures[0].data) == 3 * 2
    assert {trace.mode for trace in figures[0].data} == {"lines"}


def test_the_page_needs_no_network(folder):
    html = (folder / "report.html").read_text()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)\s*=", html)
    assert len(html) < 8e6
    for words in ("FrozenLake-v1", "GridWorld-v0", "learning_rate=0.5", "ppo", "solved", "steps/s"):
        assert words in html


def test_a_single_study_has_a_report_of_its_own(folder):
    assert write_report(folder / "network") == folder / "network" / "report.html"


def test_labels_are_escaped(folder, tmp_path):
    target = tmp_path / "a&b"
    shutil.copytree(folder / "network", target)
    assert "<title>jaxrl: a&amp;b</title>" in write_report(target).read_text()


def test_a_folder_without_a_study(tmp_path):
    with pytest.raises(InputError, match="holds no study"):
        write_report(tmp_path)


def test_numbers_are_short():
    assert [number(x) for x in (0.74123, 9.5, 498.25, 38123.4, 4.0176e6)] == [
        "0.7412",
        "9.5",
        "498.2",
        "38,123",
        "4.02 M",
    ]


def test_sparkline_rises_with_its_curve():
    points = re.search(r'points="([^"]*)"', sparkline(np.array([np.nan, 0.0, 1.0, 4.0]))).group(1)
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert len(heights) == 3
    assert heights == sorted(heights, reverse=True)
    assert sparkline(np.array([np.nan, 1.0])) == ""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here")
def test_the_page_renders_in_a_browser(folder, tmp_path):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    page = f"file://{folder / 'report.html'}"
    options = ["--virtual-time-budget=10000", "--dump-dom", page]
    dom = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=True).stdout
    assert dom.count('class="plot-container plotly"') == 6
    assert dom.count('class="spark"') == 5
