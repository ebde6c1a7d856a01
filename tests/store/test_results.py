import importlib
import importlib.metadata
import inspect
import json
import shutil

import jax
import numpy as np
import pandas as pd
import pytest
from jax import random

from envs import CartPole, FrozenLake, GridWorld
from jaxrl import InputError, grid, load, registry, resume, train, write_report
from jaxrl.algorithms import PPO, QLearning
from jaxrl.compiled.evaluate import evaluate
from jaxrl.config import static
from jaxrl.store.provenance import code_hash
from jaxrl.study.seeds import parse_seeds
from tests.lanes import bits, equal, trained

# Goals all around, so that even a few random steps find the goal and fill the table.
LAKE = FrozenLake(rows=("SFFF", "FFFG", "FFGF", "FGFF"))
SETTINGS = {"seeds": 3, "steps": 400, "evaluate_every": 100, "evaluation_episodes": 3}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "lakes"
    algorithms = grid(QLearning(), learning_rate=[0.1, 0.5], double=[False, True])
    return train(algorithms, LAKE, out=folder, width=4, **SETTINGS)


def test_runs_table(study):
    runs = study.runs
    assert runs.run.to_list() == list(range(12))
    assert runs.seed.to_list() == [0, 1, 2] * 4
    assert runs.learning_rate.to_list() == [0.1] * 6 + [0.5] * 6
    assert runs.double.to_list() == ([False] * 3 + [True] * 3) * 2
    assert set(runs.environment) == {"FrozenLake-v1"}
    assert set(runs.algorithm) == {"q_learning"}
    assert set(runs.status) == {"complete"}
    assert set(runs["env.rows"]) == {"SFFF/FFFG/FFGF/FGFF"}


def test_curves_are_tidy(study):
    curves = study.curves
    assert list(curves.columns) == ["run", "step", "metric", "value"]
    assert not curves.duplicated(["run", "step", "metric"]).any()
    evaluations = study.metric("eval_return")
    assert evaluations.shape == (12, 5)
    assert evaluations.columns.to_list() == [0, 100, 200, 300, 400]
    assert study.metric("epsilon").columns.to_list() == [100, 200, 300, 400]


def test_training_returns_are_means_over_the_episodes_of_a_chunk(tmp_path):
    """GridWorld with a time limit of one step: each episode returns the step's reward, -0.1 or -1."""
    results = train(QLearning(epsilon_end=1.0), GridWorld(max_steps=1), out=tmp_path / "grid", **SETTINGS)
    returns, lengths = results.metric("return"), results.metric("length")
    assert (lengths == 1).all(axis=None)
    assert returns.min(axis=None) >= -1
    assert returns.max(axis=None) <= -0.1
    # From the top left, two of the four uniform actions run into the wall.
    assert returns.mean(axis=None) == pytest.approx(-0.55, abs=0.05)


def test_loading_gives_the_same(study):
    again = load(study.path)
    pd.testing.assert_frame_equal(again.runs, study.runs)
    pd.testing.assert_frame_equal(again.curves, study.curves)
    assert again.manifest == study.manifest


def test_manifest_says_how_it_was_made(study):
    manifest = study.manifest
    assert manifest["status"] == "complete"
    assert manifest["plan"] == {"programs": 2, "batches": 4, "width": 4, "devices": 1}
    assert manifest["machine"]["jax"] == jax.__version__
    assert manifest["study"]["prng"] == "pcg4x32"
    assert sum(len(entry["runs"]) for entry in manifest["seconds"]) == 12


def test_saved_states_are_the_trained_ones(study):
    batch, _ = study.find(0)
    _, _, saved = study.state(batch)
    assert [run.id for run in batch.runs] == [0, 1, 2, 6]
    assert (np.asarray(saved.q).max(axis=(1, 2, 3)) > 0).all()
    assert equal(bits(saved), bits(trained(batch, 400)))


def test_policy_is_the_final_greedy_one(study):
    batch, lane = study.find(7)
    _, _, state = study.state(batch)
    policy = study.policy(run=7)
    greedy = np.asarray(state.q[lane].mean(axis=0).argmax(axis=-1))
    assert [int(policy(obs, random.key(0))) for obs in range(16)] == greedy.tolist()
    exploring = study.policy(run=7, explore=True)
    actions = {int(exploring(0, random.key(i))) for i in range(200)}
    assert len(actions) > 1


def test_policy_plays_as_well_as_the_last_evaluation(tmp_path):
    results = train(
        PPO(), CartPole(), seeds=4, steps=40_000, evaluate_every=20_000, out=tmp_path / "cartpole"
    )
    batch, lane = results.find(2)
    algorithm, env, state = results.state(batch)
    keys = random.split(random.key(1), 4)
    returns, _ = evaluate(algorithm, env, state, keys, episodes=50)
    recorded = results.metric("eval_return").iloc[2, -1]
    assert returns[lane].mean() == pytest.approx(recorded, rel=0.35)
    assert returns[lane].mean() > 100
    for obs in (np.zeros(3), np.zeros((1, 4)), 0.0):
        with pytest.raises(InputError, match=r"^observation must have shape \(4,\), got \("):
            results.policy(run=2)(obs, random.key(0))
    for obs in (["x"] * 4, [1j] * 4, [None] * 4):
        with pytest.raises(InputError, match=r"^observation must be made of float32, got \["):
            results.policy(run=2)(obs, random.key(0))


def test_policy_refuses_what_it_cannot_take(study):
    with pytest.raises(InputError, match=r"run must be in \[0, 11\], got 12"):
        study.policy(run=12)
    with pytest.raises(InputError, match=r"observation must have shape \(\), got \(2,\)"):
        study.policy(run=0)([1, 2], random.key(0))
    with pytest.raises(InputError, match=r"observation must be in \[0, 15\], got 16"):
        study.policy(run=0)(16, random.key(0))


def test_policy_refuses_what_is_no_key(study):
    with pytest.raises(InputError, match=r"key must be a typed key such as jax\.random\.key"):
        study.policy(run=0)(0, 7)
    with pytest.raises(InputError, match="observation must be made of int32, got 'left'"):
        study.policy(run=0)("left", random.key(0))
    with pytest.raises(InputError, match=r"observation must be made of int32, got 3\.7"):
        study.policy(run=0)(3.7, random.key(0))


def test_final_scores_are_the_last_evaluations(study):
    assert study.final().to_dict() == study.metric("eval_return")[400].to_dict()


def test_final_scores_of_unequal_lengths_and_failures(tmp_path):
    """Iterations of 64 and of 48 steps end at 320 and at 336 of 350; the last run diverges."""
    algorithms = [
        PPO(num_steps=16),
        PPO(num_steps=12),
        PPO(num_steps=12, learning_rate=1e38, max_grad_norm=1e38),
    ]
    settings = {"seeds": 1, "steps": 350, "evaluate_every": 1_000, "evaluation_episodes": 2}
    results = train(algorithms, CartPole(), out=tmp_path / "unequal", **settings)
    table = results.metric("eval_return")
    assert table.columns.to_list() == [0, 320, 336]
    final = results.final()
    assert final[0] == table.loc[0, 320]
    assert final[1] == table.loc[1, 336]
    assert np.isnan(final[2])


class MoreFields(QLearning):
    hidden: int = static(3)


class SeedField(QLearning):
    seed: int = static(7)


def test_fields_of_one_name_and_two_types_become_text(tmp_path):
    results = train([PPO(num_steps=16), MoreFields()], GridWorld(), out=tmp_path / "mixed", **SETTINGS)
    assert results.runs.hidden.to_list() == ["64/64"] * 3 + ["3"] * 3


def test_fields_that_would_hide_a_column_are_refused(tmp_path):
    with pytest.raises(InputError, match="SeedField has a field 'seed', which is the name of another column"):
        train(SeedField(), GridWorld(), out=tmp_path / "seed", **SETTINGS)
    assert not (tmp_path / "seed").exists()


def test_numpy_numbers_are_as_good_as_pythons(tmp_path):
    settings = {name: np.int64(value) for name, value in SETTINGS.items()}
    results = train(QLearning(), LAKE, out=tmp_path / "numpy", **settings)
    assert len(results.runs) == 3


def test_changed_code_is_another_study(tmp_path, monkeypatch):
    train(QLearning(), LAKE, out=tmp_path / "code", **SETTINGS)
    monkeypatch.setattr(inspect, "getsource", lambda _: "class FrozenLake: ...")
    with pytest.raises(InputError, match="differs in environments, algorithms"):
        train(QLearning(), LAKE, out=tmp_path / "code", **SETTINGS)


def test_the_code_of_a_class_is_that_of_its_whole_module(tmp_path, monkeypatch):
    """A helper or a constant beside it, too."""
    monkeypatch.syspath_prepend(tmp_path)
    source = "from envs import GridWorld\nBONUS = 1\nclass World(GridWorld):\n    pass\n"

    def hashed(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        return code_hash(importlib.import_module(name).World)

    one = hashed("one_world", source)
    assert hashed("same_world", source) == one
    assert hashed("other_world", source.replace("BONUS = 1", "BONUS = 2")) != one


def test_versions_behind_a_door_are_part_of_its_code(monkeypatch):
    classes = (*registry.adapters().values(), GridWorld)
    before = [code_hash(cls) for cls in classes]
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "99")
    changed = [code_hash(cls) != then for cls, then in zip(classes, before, strict=True)]
    assert changed == [True] * (len(classes) - 1) + [False]


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(
        InputError, match=r"No space left on device; once it can be, continue with: jaxrl resume .*full$"
    ):
        train(QLearning(), LAKE, out=tmp_path / "full", **SETTINGS)


def test_a_result_prints_as_one_line(study):
    assert repr(study) == f"Results({str(study.path)!r}, 12 runs)"


def test_unknown_metric(study):
    with pytest.raises(InputError, match="unknown metric 'eval_retrun': did you mean 'eval_return'"):
        study.metric("eval_retrun")


def test_the_same_study_is_read_and_not_trained_again(study):
    before = (study.path / "curves.parquet").stat().st_mtime_ns
    algorithms = grid(QLearning(), learning_rate=[0.1, 0.5], double=[False, True])
    again = train(algorithms, LAKE, out=study.path, width=4, **SETTINGS)
    pd.testing.assert_frame_equal(again.curves, study.curves)
    assert (study.path / "curves.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "changes",
    [{"seeds": 4}, {"steps": 800}, {"width": 6}, {"evaluate_every": 80}, {"evaluation_episodes": 4}],
)
def test_another_study_is_not_overwritten(study, changes):
    algorithms = grid(QLearning(), learning_rate=[0.1, 0.5], double=[False, True])
    before = {file: file.stat().st_mtime_ns for file in study.path.rglob("*")}
    with pytest.raises(
        InputError,
        match=rf"holds another study, which differs in {next(iter(changes))}; choose another folder",
    ):
        train(algorithms, LAKE, out=study.path, **({"width": 4} | SETTINGS | changes))
    assert {file: file.stat().st_mtime_ns for file in study.path.rglob("*")} == before


def test_folders_that_are_no_study(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not a results folder: it has no manifest.json"):
        train(QLearning(), LAKE, out=tmp_path, **SETTINGS)
    with pytest.raises(InputError, match=r"nowhere is not a results folder: there is no such folder"):
        load(tmp_path / "nowhere")
    file = tmp_path / "notes.txt"
    with pytest.raises(InputError, match=r"notes.txt is not a results folder: it is a file"):
        load(file)
    with pytest.raises(InputError, match="cannot be written"):
        train(QLearning(), LAKE, out=file / "below", **SETTINGS)


def test_manifests_of_another_kind(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": 3}')
    with pytest.raises(InputError, match=r"manifest\.json is damaged: it lacks 'status'"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 3')
    with pytest.raises(InputError, match=r"manifest\.json is damaged$"):
        load(tmp_path)


def without(key, mapping):
    return {name: value for name, value in mapping.items() if name != key}


def test_manifests_that_were_altered_inside(study, tmp_path):
    spec, plan = study.manifest["study"], study.manifest["plan"]
    altered = [
        ({"study": without("steps", spec)}, "damaged: it lacks 'study.steps'"),
        ({"plan": without("width", plan)}, "damaged: it lacks 'plan.width'"),
        ({"plan": plan | {"width": "4"}}, r"manifest\.json is damaged$"),
        ({"sha256": {}}, "damaged: it lacks 'sha256.runs.parquet'"),
        ({"study": spec | {"steps": "many"}}, "steps must be an integer of at least 1, got 'many'"),
        ({"study": spec | {"algorithms": [{"name": "ppo"}]}}, "an entry of its study lacks 'parameters'"),
        (
            {"study": spec | {"algorithms": [without("code", spec["algorithms"][0])]}},
            "its study lacks 'code'",
        ),
        ({"study": spec | {"algorithms": 3}}, "manifest is damaged: its study cannot be read"),
        ({"machine": {}}, "damaged: it lacks 'machine.jax'"),
        ({"resumed": [{}]}, "damaged: it lacks 'resumed.at'"),
    ]
    for number, (changes, sentence) in enumerate(altered):
        folder = edited(study, tmp_path / str(number), **(changes | {"status": "running"}))
        if "sha256" in changes:
            folder = edited(study, tmp_path / "complete", **changes)
        with pytest.raises(InputError, match=sentence):
            resume(folder)


@pytest.mark.parametrize(
    "key", ["status", "jaxrl", "created", "study", "plan", "machine", "resumed", "sha256", "seconds"]
)
def test_manifests_that_lack_an_entry(key, study, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(without(key, study.manifest)))
    with pytest.raises(InputError, match=rf"manifest\.json is damaged: it lacks '{key}'$"):
        write_report(tmp_path)


def edited(results, tmp_path, **changes):
    """A copy of the study's manifest with changes, alone in a folder."""
    folder = tmp_path / "edited"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(results.manifest | changes))
    return folder


def test_damaged_folders(study, tmp_path):
    folder = edited(study, tmp_path)
    remedy = rf"; write it again from the checkpoints with: jaxrl resume {folder}$"
    with pytest.raises(InputError, match=rf"^{folder}/runs.parquet is missing{remedy}"):
        load(folder)
    (folder / "runs.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match=rf"runs.parquet was altered or cut short: its hash .*{remedy}"):
        load(folder)
    shutil.copy(study.path / "runs.parquet", folder)
    with pytest.raises(InputError, match=r"curves.parquet is missing; train all batches again with: .* all$"):
        load(folder)


def test_unfinished_folders(study, tmp_path):
    folder = edited(study, tmp_path, status="running")
    with pytest.raises(InputError, match=r"holds an unfinished study; finish it with: jaxrl resume"):
        load(folder)
    algorithms = grid(QLearning(), learning_rate=[0.1, 0.5], double=[False, True])
    with pytest.raises(InputError, match=r"holds this study unfinished; continue it with: jaxrl resume"):
        train(algorithms, LAKE, out=folder, width=4, **SETTINGS)


def test_newer_folders(study, tmp_path):
    with pytest.raises(InputError, match=r"has format 99, newer than this jaxrl reads \(3\)"):
        load(edited(study, tmp_path, format=99))


def test_older_folders(study, tmp_path):
    with pytest.raises(InputError, match=r"has format 1, older than this jaxrl reads \(3\)"):
        load(edited(study, tmp_path, format=1))


class MyLake(FrozenLake):
    """An environment that no package registers."""


def test_environments_outside_the_registry(tmp_path):
    results = train(QLearning(), MyLake(), out=tmp_path / "mine", **SETTINGS)
    assert set(results.runs.environment) == {"MyLake"}
    with pytest.raises(InputError, match="unknown environment 'MyLake'"):
        results.policy(run=0)
    registry.environments()["MyLake"] = MyLake()
    try:
        results.policy(run=0)(0, random.key(0))
    finally:
        del registry.environments()["MyLake"]


def test_without_a_folder_results_go_to_a_temporary_one():
    results = train(QLearning(), FrozenLake(), **SETTINGS)
    assert load(results.path).runs.equals(results.runs)


def test_seeds_as_a_range(tmp_path):
    results = train(QLearning(), LAKE, out=tmp_path / "r", **(SETTINGS | {"seeds": "100:103"}))
    assert results.runs.seed.to_list() == list(parse_seeds("100:103"))
