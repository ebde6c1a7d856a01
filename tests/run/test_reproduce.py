"""Any run comes back, and a folder whose runs would not is found out."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from envs import CartPole, GridWorld
from jaxrl import InputError, load, resume, train
from jaxrl.algorithms import QLearning
from jaxrl.run.reproduce import replay, verify, write_gif
from jaxrl.run.train import _chosen
from jaxrl.store.files import file_hash
from tests.learners import Diverging, Idle, registered
from tests.run.test_resume import other_code

SETTINGS = {"seeds": 5, "steps": 640, "evaluate_every": 320, "evaluation_episodes": 2, "width": 3}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "grid"
    return train([QLearning(), QLearning(double=True)], GridWorld(), out=out, **SETTINGS)


@pytest.fixture
def copy(study, tmp_path):
    return load(shutil.copytree(study.path, tmp_path / "copy"))


def test_another_generator_gives_other_bits_which_come_back(study, tmp_path):
    results = train(QLearning(), GridWorld(), out=tmp_path / "threefry", prng="threefry2x32", **SETTINGS)
    assert [each.manifest["study"]["prng"] for each in (results, study)] == ["threefry2x32", "pcg4x32"]
    same_seeds = study.curves[study.curves.run < SETTINGS["seeds"]].reset_index(drop=True)
    assert same_seeds.drop(columns="value").equals(results.curves.drop(columns="value"))
    assert not same_seeds.value.equals(results.curves.value)
    assert all(outcome.acceptable for outcome in verify(results, 5))
    assert replay(results, 4).first is None


def test_every_run_of_a_study_can_be_verified(study):
    states, *verified = verify(study, 100)
    assert str(states) == "saved states: 4 of 4 match their hashes"
    assert [reproduction.run for reproduction in verified] == list(range(10))
    assert all(reproduction.first is None for reproduction in verified)


def test_runs_are_chosen_at_random(study):
    chosen = {[*verify(study, 1, np.random.default_rng(i))][1].run for i in range(6)}
    assert len(chosen) > 1


def test_numbers_of_numpy_and_whole_floats_choose_runs_and_batches(study):
    for one in (1.0, np.int64(1)):
        assert len([*verify(study, one)]) == 2
        assert _chosen(study.batches, one) == [study.batches[1]]
    with pytest.raises(InputError, match=r"rerun must be a batch in \[0, 3\] or all, got 0.5"):
        _chosen(study.batches, 0.5)


def test_a_damaged_state_is_reported_and_the_others_are_verified(copy):
    (file,) = copy.path.glob("checkpoints/batch-00001-*")
    file.write_bytes(file.read_bytes()[:-40])
    states, *verified = verify(copy, 100)
    assert not states.acceptable
    said = r"batch 1 of .* \(runs 3 to 4\) is damaged: .* --rerun 1\nsaved states: 3 of 4 match their hashes"
    assert re.fullmatch(said, str(states))
    assert [reproduction.run for reproduction in verified] == [0, 1, 2, 5, 6, 7, 8, 9]


def test_a_forced_resume_excuses_only_what_it_trained(copy):
    """The first batch is of the code that the study began with, the last one of another."""
    with other_code():
        resume(copy.path, rerun=3, force=True)
    changed = altered(altered(load(copy.path), 0, 640), 8, 640)
    assert not replay(changed, 0).acceptable
    assert "which may be due to the code of GridWorld-v0 ('0000" in str(replay(changed, 8))
    with other_code():
        assert replay(changed, 0).acceptable
        assert "though machine and versions are the same" in str(replay(changed, 8))


def test_what_was_trained_by_two_programs_need_not_come_back_by_either(copy):
    with other_code():
        resume(copy.path, steps=1_280, force=True)
        changed = altered(load(copy.path), 0, 1_280)
        assert replay(changed, 0).acceptable
    assert replay(changed, 0).acceptable


def test_a_run_of_an_extended_study_comes_back(copy):
    """One of the first seeds and one of the further ones, trained on with both."""
    extended = resume(resume(copy.path, more_seeds=[9]).path, steps=1_280)
    for run in (4, 11):
        assert replay(extended, run).first is None


def test_a_failed_run_comes_back(tmp_path):
    with registered():
        results = train(Diverging(lasts=400), GridWorld(), out=tmp_path / "failed", **SETTINGS)
        assert set(results.runs.status) == {"failed"}
        assert replay(results, 1).first is None


def test_what_is_missing_on_one_side_is_said(study):
    gone = study.curves[(study.curves.step != 320) | (study.curves.metric != "eval_return")]
    reproduction = replay(dataclasses.replace(study, curves=gone), 0)
    assert reproduction.first == "eval_return at step 320, which is missing there"
    assert "which is missing there, 1 value missing or NaN on one side, though" in str(reproduction)
    more = pd.concat([study.curves, gone[gone.step == 320].assign(step=333)])
    assert "at step 333, which is missing here" in replay(dataclasses.replace(study, curves=more), 0).first


def test_values_on_one_side_alone_are_counted_with_other_versions_too(study):
    """Beside a first difference, and though they have no deviation."""
    manifest = study.manifest | {"machine": study.manifest["machine"] | {"jaxlib": "0.1"}}
    points = [
        (study.curves.step == 640) & (study.curves.metric == name) for name in ("eval_return", "eval_length")
    ]
    values = study.curves.value + 1e-6 * (study.curves.step == 320)
    curves = study.curves.assign(value=values.mask(points[0]))[~points[1]]
    reproduction = replay(dataclasses.replace(study, curves=curves, manifest=manifest), 0)
    assert reproduction.acceptable
    assert "by at most 1e-06, 2 values missing or NaN on one side, which may be due to" in str(reproduction)


def altered(results, run, step):
    """The study with one evaluation changed by a millionth, its hash made to fit."""
    curves = results.curves.copy()
    rows = (curves.run == run) & (curves.step == step) & (curves.metric == "eval_return")
    curves.loc[rows, "value"] += 1e-6
    curves.to_parquet(results.path / "curves.parquet", index=False)
    manifest = results.manifest | {
        "sha256": results.manifest["sha256"] | {"curves.parquet": file_hash(results.path / "curves.parquet")}
    }
    (results.path / "manifest.json").write_text(json.dumps(manifest))
    return load(results.path)


def test_what_differs_first_is_named(copy):
    reproduction = replay(altered(copy, 7, 320), 7)
    assert reproduction.first == "eval_return at step 320"
    assert reproduction.deviation == pytest.approx(1e-6, rel=1e-3)
    assert not reproduction.acceptable
    assert str(reproduction) == (
        "run 7: differs, first in eval_return at step 320, by at most 1e-06, "
        "though machine and versions are the same"
    )
    assert replay(load(copy.path), 6).first is None


def test_other_versions_may_differ_and_are_named(copy):
    manifest = copy.manifest | {"machine": copy.manifest["machine"] | {"jaxlib": "0.1"}}
    (copy.path / "manifest.json").write_text(json.dumps(manifest))
    reproduction = replay(altered(load(copy.path), 0, 640), 0)
    assert reproduction.acceptable
    assert "jaxlib ('0.1' there, " in str(reproduction)


def test_a_run_out_of_range(study):
    with pytest.raises(InputError, match=r"run must be in \[0, 9\], got 10"):
        replay(study, 10)


def test_a_gif_shows_an_episode(tmp_path):
    with registered():
        results = train(Idle(action=1), CartPole(), out=tmp_path / "pole", **SETTINGS)
        file = write_gif(results, 0, tmp_path / "pole.gif")
        with pytest.raises(InputError, match="cannot be written: No such file"):
            write_gif(results, 0, tmp_path / "nowhere" / "pole.gif")
    with Image.open(file) as picture:
        assert picture.size == (600, 400)
        assert picture.n_frames > 5
        first = np.asarray(picture.convert("RGB"))
        picture.seek(picture.n_frames - 1)
        assert not np.array_equal(first, np.asarray(picture.convert("RGB")))


def test_curves_are_compared_as_bits(study):
    """Were the curve of another run compared, a difference would be found."""
    runs = pd.Index(study.runs.run)
    swapped = study.curves.assign(run=study.curves.run.map(dict(zip(runs, runs[::-1], strict=True))))
    assert replay(dataclasses.replace(study, curves=swapped), 0).first is not None
