"""What a training logs while it runs, and data sets of its policies."""

import sys

import numpy as np
import pytest
from scipy import stats

from envs import GridWorld
from jaxrl import InputError, load, resume, train
from jaxrl.algorithms import QLearning
from jaxrl.analysis.export import export_transitions
from jaxrl.analysis.live import log_to
from tests.analysis.test_export import parameters, values

SETTINGS = {"seeds": 3, "steps": 200, "evaluate_every": 100, "evaluation_episodes": 2}
BOARD = "study/tensorboard/GridWorld-v0-size=3/q_learning"


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    seen = []
    with log_to("tensorboard", folder / "study", seeds=True) as log:
        callbacks = [log, lambda _: seen.append(len([*folder.rglob("events.*")]))]
        options = SETTINGS | {
            "width": 2,
            "callbacks": callbacks,
        }  # the third seed is trained after the others
        results = train(QLearning(), GridWorld(size=3), out=folder / "study", **options)
    return folder, results, seen


def test_every_value_of_every_run_is_logged(logged):
    folder, results, _ = logged
    for run in range(3):
        file = next((folder / BOARD / f"seed-{run}").glob("events.*"))
        found = {(event.step, value.tag): value.simple_value for event, value in values(file)}
        curves = results.curves[results.curves.run == run].dropna()
        expected = {(row.step, row.metric): row.value for row in curves.itertuples()}
        assert found == pytest.approx(expected)
        assert parameters(file)["discount"].number_value == np.float32(0.99)


def test_it_is_logged_while_the_training_runs(logged):
    assert logged[2] == [2, 2, 2, 4, 4, 4]  # two seeds from the first chunk on; then the third, and the mean


def test_a_setting_has_the_mean_of_its_runs_and_its_interval(logged):
    folder, results, _ = logged
    file = next((folder / BOARD / "mean").glob("events.*"))
    found = {(event.step, value.tag): value.simple_value for event, value in values(file)}
    expected = {(step, "runs"): 3 for step in (0, 100, 200)}
    for (step, metric), rows in results.curves.dropna().groupby(["step", "metric"]):
        mean, half = rows.value.mean(), stats.t.ppf(0.975, len(rows) - 1) * rows.value.sem()
        ends = {"": mean, "/low": mean - half, "/high": mean + half} if len(rows) > 1 else {"": mean}
        expected |= {(step, f"{metric}{end}"): value for end, value in ends.items()}
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert [step for step, tag in found if tag == "eval_return"] == [0, 100, 200]


def test_the_means_of_a_stopped_training_and_of_an_extension_are_kept_apart(tmp_path):
    """A mean is written at the end if not all runs have reached its step."""

    def counts():
        """The runs of each mean by its name, which are then removed."""
        found = {}
        for file in (tmp_path / "tensorboard").rglob("events.*"):
            runs = [(event.step, value.simple_value) for event, value in values(file) if value.tag == "runs"]
            found[file.parent.name] = runs
            file.unlink()  # files of the same second have the same name
        return found

    settings = SETTINGS | {"width": 2, "out": tmp_path}
    with log_to("tensorboard", tmp_path) as log, pytest.raises(KeyboardInterrupt):
        train(QLearning(), GridWorld(size=3), callbacks=[log, lambda report: report.step == 100], **settings)
    assert counts() == {"mean": [(0, 2), (100, 2)]}
    with log_to("tensorboard", tmp_path) as log:
        resume(tmp_path, callbacks=[log])
    assert counts() == {"mean": [(200, 3), (0, 1), (100, 1)]}
    with log_to("tensorboard", tmp_path) as log:
        resume(tmp_path, more_seeds="7:9", callbacks=[log])
    assert counts() == {"mean-of-extension-1": [(0, 2), (100, 2), (200, 2)]}


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
    with pytest.raises(InputError, match=r"^run must be in \[0, 2\], got 7$"):
        export_transitions(folder / "study", 7, 50)
