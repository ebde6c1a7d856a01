"""What a training logs while it runs, and data sets of its policies."""

import sys

import numpy as np
import pytest

from envs import GridWorld
from jaxrl import InputError, load, train
from jaxrl.algorithms import QLearning
from jaxrl.analysis.export import export_transitions
from jaxrl.analysis.live import log_to
from tests.analysis.test_export import parameters, values

SETTINGS = {"seeds": 2, "steps": 200, "evaluate_every": 100, "evaluation_episodes": 2}


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    seen = []
    with log_to("tensorboard", folder / "board") as log:
        callbacks = [log, lambda _: seen.append(len([*folder.rglob("events.*")]))]
        results = train(QLearning(), GridWorld(size=3), out=folder / "study", callbacks=callbacks, **SETTINGS)
    return folder, results, seen


def test_every_value_of_every_run_is_logged(logged):
    folder, results, _ = logged
    for run in range(2):
        file = next(
            (folder / "board" / "GridWorld-v0-size=3" / "q_learning" / f"seed-{run}").glob("events.*")
        )
        found = {(event.step, value.tag): value.simple_value for event, value in values(file)}
        curves = results.curves[results.curves.run == run].dropna()
        expected = {(row.step, row.metric): row.value for row in curves.itertuples()}
        assert found == pytest.approx(expected)
        assert parameters(file)["discount"].number_value == np.float32(0.99)


def test_it_is_logged_while_the_training_runs(logged):
    assert logged[2] == [2, 2, 2]  # the files of both runs exist from the first chunk on


def test_an_unknown_log_and_a_missing_package_are_named(tmp_path, monkeypatch):
    with (
        pytest.raises(InputError, match="unknown log 'tensorbord': did you mean 'tensorboard'"),
        log_to("tensorbord", tmp_path),
    ):
        pass
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"needs the package wandb.*\[wandb\]"), log_to("wandb", tmp_path):
        pass


def test_transitions_are_exported_as_a_data_set(logged, tmp_path):
    folder, _, _ = logged
    path = export_transitions(folder / "study", 1, 50, explore=True, out=tmp_path / "deep" / "data.npz")
    arrays = dict(np.load(path, allow_pickle=False))
    expected = load(folder / "study").transitions(1, 50, explore=True)
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)
    ended = arrays["terminated"] | arrays["truncated"]
    followed = arrays["next_obs"][:-1] == arrays["obs"][1:]
    assert (followed | ended[:-1]).all()
    assert len({*arrays["obs"].tolist()}) > 3
    with pytest.raises(InputError, match=r"^run must be in \[0, 1\], got 7$"):
        export_transitions(folder / "study", 7, 50)
