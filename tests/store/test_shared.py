"""Shared arrays in a results folder: once, by their hash, and given back to whoever resumes, replays or acts."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from envs import GridWorld
from jaxrl import InputError, load, resume, train
from jaxrl.config import Shared
from jaxrl.environment import Wrapper
from jaxrl.run.reproduce import replay, verify
from tests.learners import Cloning, Idle, Paying, registered

SETTINGS = {"steps": 60, "evaluate_every": 30, "evaluation_episodes": 2, "width": 2}
SIZE = 611  # a number that occurs nowhere else
rng = np.random.default_rng(0)
DATA = {"obs": rng.integers(0, 16, SIZE), "action": rng.integers(0, 4, SIZE)}
OTHER = DATA | {"action": 3 - DATA["action"]}
LEARNER = Cloning(data=DATA)


@pytest.fixture(autouse=True, scope="module")
def known():
    with registered():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two step sizes with one data set, and the same with another."""
    out = tmp_path_factory.mktemp("study") / "whole"
    algorithms = [LEARNER, LEARNER.replace(learning_rate=0.1), Cloning(data=OTHER)]
    return train(algorithms, GridWorld(), seeds=3, out=out, **SETTINGS)


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole.path, tmp_path / "copy")


def test_they_lie_in_one_file_each_under_their_hash(whole):
    files = sorted((whole.path / "shared").iterdir())
    assert [file.name for file in files] == sorted(
        f"{Shared(each).hash}.safetensors" for each in (DATA, OTHER)
    )
    held = load_file(whole.path / "shared" / f"{LEARNER.data.hash}.safetensors")
    assert held.keys() == DATA.keys()
    assert all(np.array_equal(held[name], DATA[name]) for name in DATA)


def test_the_manifest_and_the_table_of_runs_name_the_hash(whole):
    hashes = [LEARNER.data.hash] * 2 + [Shared(OTHER).hash]
    entries = whole.manifest["study"]["algorithms"]
    assert [entry["parameters"]["data"] for entry in entries] == hashes
    assert whole.runs.data.to_list() == [each for each in hashes for _ in range(3)]
    assert whole.study.algorithms[2] == Cloning(data=OTHER)


def test_two_data_sets_are_two_programs_that_learn_different_things(whole):
    assert whole.manifest["plan"]["programs"] == 2
    assert [len(batch.runs) for batch in whole.batches] == [2, 2, 2, 2, 1]
    actions = [whole.policy(run).predict(np.arange(16))[0] for run in (0, 3, 6)]
    assert np.mean(actions[0] == actions[1]) > 0.5 > np.mean(actions[0] == actions[2])


def test_no_checkpoint_holds_them(whole):
    for batch in whole.batches:
        assert not [leaf for leaf in jax.tree.leaves(whole.state(batch)) if SIZE in leaf.shape]
    sizes = [file.stat().st_size for file in (whole.path / "checkpoints").iterdir()]
    assert max(sizes) < min(array.nbytes for array in DATA.values())


def test_another_process_resumes_replays_and_acts_from_the_folder_alone(copy, whole):
    code = f"""
import json
from jaxrl import resume
from jaxrl.run.reproduce import replay
from tests.learners import registered
with registered():
    results = resume({str(copy)!r}, more_seeds=[9])
    said = [str(replay(results, run)) for run in (4, 9)]
    print(json.dumps([said, results.policy(0).predict([*range(16)])[0].tolist()]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=250, check=True
    )
    said, actions = json.loads(done.stdout)
    assert said == [f"run {run}: curve and final state reproduced bit for bit" for run in (4, 9)]
    assert actions == whole.policy(0).predict(np.arange(16))[0].tolist()
    resumed = load(copy)
    assert resumed.runs.data.to_list()[9:] == [LEARNER.data.hash] * 2 + [Shared(OTHER).hash]
    assert resumed.curves[resumed.curves.run < 9].reset_index(drop=True).equals(whole.curves)


def only(copy, data=DATA):
    return copy / "shared" / f"{Shared(data).hash}.safetensors"


def test_an_altered_file_is_refused(copy):
    save_file(DATA | {"obs": DATA["obs"] % 15}, only(copy))
    for use in (lambda: resume(copy, more_seeds=[9]), lambda: load(copy).policy(0)):
        with pytest.raises(InputError, match=rf"^{only(copy)} was altered: its name is not the hash"):
            use()
    only(copy).write_bytes(only(copy).read_bytes()[:-8])
    with pytest.raises(InputError, match=rf"^{only(copy)} cannot be read: "):
        replay(load(copy), 0)


def test_a_missing_file_is_named(copy):
    only(copy).unlink()
    with pytest.raises(InputError, match=rf"the arrays of Cloning.data, '{LEARNER.data.hash}', are missing"):
        resume(copy, more_seeds=[9])


def test_other_arrays_are_another_study(whole):
    algorithms = [Cloning(data=OTHER), LEARNER.replace(learning_rate=0.1), LEARNER]
    with pytest.raises(InputError, match="differs in cloning's data; choose another folder"):
        train(algorithms, GridWorld(), seeds=3, out=whole.path, **SETTINGS)


def test_arrays_of_an_environment_and_of_one_inside_another(tmp_path):
    """Nested by name, too."""
    inner = Paying(rewards={"of": np.float32([1, 2]), "more": {"of": np.float32([3])}})
    worlds = [
        inner,
        Wrapper(env=inner),
        Wrapper(env=inner.replace(rewards=Shared({"of": np.float32([5, 6])}))),
    ]
    results = train(Idle(action=1), worlds, seeds=1, out=tmp_path / "worlds", **SETTINGS)
    assert results.final().to_list() == [2, 2, 6]
    again = load(results.path)
    assert again.study.environments == tuple(worlds)
    assert again.runs["env.env.rewards"].notna().to_list() == [False, True, True]
    assert len([*(results.path / "shared").iterdir()]) == 2
    assert all(outcome.acceptable for outcome in verify(again, 3))
    assert again.evaluate(worlds[2], runs=[0], episodes=1)["return"].item() == 6
    assert again.transitions(2, 3)["reward"].tolist() == [6, 6, 6]
