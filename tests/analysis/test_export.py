import dataclasses
import json
import os
import struct

import numpy as np
import pandas as pd
import pytest

from envs import FrozenLake, GridWorld
from jaxrl import InputError, export, grid, load, plan, train
from jaxrl.algorithms import QLearning
from jaxrl.analysis.export import marl_eval_tree, rliable_scores
from jaxrl.cli.commands import main
from tests.studies import full

SETTINGS = {"steps": 300, "evaluate_every": 100, "evaluation_episodes": 2}
NAMES = ["q_learning learning_rate=0.1", "q_learning learning_rate=0.5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    rates = grid(QLearning(), learning_rate=[0.1, 0.5])
    train(rates, [FrozenLake(is_slippery=False), GridWorld(size=3)], seeds=3, out=folder / "all", **SETTINGS)
    train(QLearning(), GridWorld(size=3), seeds=2, out=folder / "few", **SETTINGS)
    train(QLearning(), FrozenLake(is_slippery=False), seeds=3, out=folder / "lake", **SETTINGS)
    train(QLearning(), GridWorld(size=3), seeds=3, out=folder / "short", **(SETTINGS | {"steps": 200}))
    return folder


def failing(results, run):
    status = np.where(results.runs.run == run, "failed", "complete")
    return dataclasses.replace(results, runs=results.runs.assign(status=status))


def test_rliable_scores_are_the_final_scores(folder, tmp_path):
    """Loaded without pickle, the file is the dict that rliable takes: setting -> [runs, environments]."""
    path = export(folder / "all", "rliable", tmp_path / "scores")
    scores = dict(np.load(path))
    environments = scores.pop("environments")
    assert environments.tolist() == ["FrozenLake-v1", "GridWorld-v0"]
    assert list(scores) == NAMES
    results = load(folder / "all")
    for name, rate in zip(NAMES, (0.1, 0.5), strict=True):
        runs = results.runs[results.runs.learning_rate == rate]
        for column, environment in enumerate(environments):
            expected = results.final()[runs.run[runs.environment == environment]]
            assert scores[name][:, column].tolist() == expected.to_list()


def test_a_failed_run_is_nan_for_rliable(folder):
    scores, _ = rliable_scores([failing(load(folder / "all"), 4)])
    assert np.argwhere(np.isnan(scores[NAMES[1]])).tolist() == [[1, 0]]
    assert not np.isnan(scores[NAMES[0]]).any()


def test_rliable_joins_folders_of_one_environment_each(folder):
    scores, environments = rliable_scores([load(folder / "lake"), load(folder / "short")])
    assert environments == ["FrozenLake-v1", "GridWorld-v0"]
    assert scores["q_learning"].shape == (3, 2)


def test_marl_eval_has_every_evaluation(folder):
    path = export(folder / "all", "marl-eval")
    assert path == folder / "all" / "marl-eval.json"
    tree = json.loads(path.read_text())
    assert list(tree) == ["jaxrl"]
    assert list(tree["jaxrl"]) == ["frozenlake-v1", "gridworld-v0"]  # marl-eval looks tasks up in lower case
    assert list(tree["jaxrl"]["gridworld-v0"]) == NAMES
    results = load(folder / "all")
    runs = results.runs[(results.runs.learning_rate == 0.5) & (results.runs.environment == "GridWorld-v0")]
    for number, run in enumerate(runs.run, start=1):
        written = tree["jaxrl"]["gridworld-v0"][NAMES[1]][f"run_{number}"]
        assert list(written) == ["step_0", "step_1", "step_2", "step_3", "absolute_metrics"]
        for k, step in enumerate([0, 100, 200, 300]):
            value = results.metric("eval_return").loc[run, step]
            length = results.metric("eval_length").loc[run, step]
            assert written[f"step_{k}"] == {"step_count": step, "return": [value], "length": [length]}
        assert written["absolute_metrics"] == {"return": [value], "length": [length]}


def events(file):
    """The events of a TensorBoard file, whose records are length, checksum, data, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    data, position = file.read_bytes(), 0
    while position < len(data):
        (length,) = struct.unpack("<Q", data[position : position + 8])
        yield Event.FromString(data[position + 12 : position + 12 + length])
        position += length + 16


def values(file):
    """Each event of a TensorBoard file with each of its values, without those that hold parameters."""
    for event in events(file):
        for value in event.summary.value:
            if not value.tag.startswith("_hparams_/"):
                yield event, value


def parameters(file):
    """The parameters of the run in a TensorBoard file."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    (start,) = [
        value.metadata.plugin_data.content
        for event in events(file)
        for value in event.summary.value
        if value.tag == "_hparams_/session_start_info"
    ]
    return HParamsPluginData.FromString(start).session_start_info.hparams


def test_tensorboard_files_hold_every_value_and_parameter(folder, tmp_path):
    path = export(folder / "all", "tensorboard", tmp_path / "board")
    files = {file.parent.relative_to(path).as_posix(): file for file in path.rglob("events.*")}
    assert len(files) == 12
    results = load(folder / "all")
    file = files["GridWorld-v0/q_learning-learning_rate=0.5/seed-2"]
    found = [(event.step, value.tag, value.simple_value) for event, value in values(file)]
    curves = results.curves[results.curves.run == 11].dropna().sort_values(["step", "metric"])
    expected = [(row.step, row.metric, pytest.approx(row.value)) for row in curves.itertuples()]
    assert sorted(found, key=lambda each: each[:2]) == expected
    written = parameters(file)
    assert written["learning_rate"].number_value == 0.5
    assert written["environment"].string_value == "GridWorld-v0"
    assert "env.is_slippery" not in written  # a field of the other environment


def test_an_unfinished_study_is_exported_as_far_as_it_is(tmp_path):
    """Its curves. Final scores are those of complete studies."""
    for stop, name in ((200, "stopped"), (0, "begun")):
        settings = SETTINGS | {"seeds": 3, "width": 2, "out": tmp_path / name}
        with pytest.raises(KeyboardInterrupt):
            train(QLearning(), GridWorld(), callbacks=[lambda report, at=stop: report.step >= at], **settings)
        path = export(tmp_path / name, "tensorboard", tmp_path / f"board-{name}")
        files = sorted(path.rglob("events.*"))
        assert {file.parent.name for file in files} >= {"seed-0", "seed-1"}
        assert {event.step for event, _ in values(files[0])} == {*range(0, stop + 1, 100)}
    with pytest.raises(InputError, match="holds an unfinished study; finish it with: jaxrl resume"):
        export(tmp_path / "stopped", "rliable")
    plan(QLearning(), GridWorld(), seeds=3, out=tmp_path / "planned", **SETTINGS)
    with pytest.raises(InputError, match=r"nothing of the study in .*planned was saved so far"):
        export(tmp_path / "planned", "tensorboard")


def test_wandb_runs_are_offline(folder, tmp_path):
    pytest.importorskip("wandb")
    path = export(folder / "few", "wandb", tmp_path / "offline")
    files = list(path.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    written = b"".join(file.read_bytes() for file in files)
    for words in (b"eval_return", b"GridWorld-v0 q_learning seed-1", b"learning_rate"):
        assert words in written


def test_the_extra_of_a_missing_package_is_named(folder, tmp_path, monkeypatch):
    for package, name in (("tensorboardX", "tensorboard"), ("wandb", "wandb")):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(InputError, match=rf"package {package}, .*: pip install -e '.\[{name}\]'"):
            export(folder / "few", name, tmp_path / name)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["all", "--to", "rlible"], "unknown format 'rlible': did you mean 'rliable'? known are marl-eval"),
        (["nowhere", "--to", "rliable"], "nowhere is not a results folder"),
        (["all", "all", "--to", "rliable"], "all was given twice"),
        (["all", "--to", "tensorboard", "--out", "few"], "few exists already: remove it or choose another"),
        (["all", "--to", "rliable", "--out", "/dev/null/x"], "/dev/null/x cannot be written"),
        (["all", "--to", "tensorboard", "--out", "/dev/null/x"], "/dev/null/x cannot be written"),
        (["lake", "few", "--to", "rliable"], "q_learning in FrozenLake-v1 has 3, but q_learning in Grid"),
        (["all", "few", "--to", "rliable"], "rliable needs each setting in each environment: "),
        (["short", "few", "--to", "marl-eval"], "needs the same number of runs: q_learning (short) in"),
        (["lake", "short", "--to", "marl-eval"], "needs the same number of evaluations: q_learning in froz"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_study_that_cannot_be_exported_gives_one_sentence(arguments, sentence, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(["export", *arguments])
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert sorted(folder.rglob("*")) == before


def test_marl_eval_refuses_failed_runs(folder):
    with pytest.raises(InputError, match=r"no failed runs, but seed 1 of .*=0\.5 in FrozenLake-v1 failed"):
        marl_eval_tree([failing(load(folder / "all"), 4)])


def test_the_written_path_is_printed(folder, tmp_path, capsys):
    main(["export", str(folder / "all"), "--to", "rliable", "--out", str(tmp_path / "deep" / "a.npz")])
    assert capsys.readouterr().out == f"{tmp_path / 'deep' / 'a.npz'}\n"
    assert pd.Series(np.load(tmp_path / "deep" / "a.npz").files).isin([*NAMES, "environments"]).all()


@pytest.mark.parametrize("form", ["rliable", "marl-eval"])
def test_a_full_disk_leaves_the_earlier_file(form, folder, tmp_path, monkeypatch):
    path = export(folder / "all", form, tmp_path / "file")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        export(folder / "all", form, tmp_path / "file")
    assert path.read_bytes() == before
