import os
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest

from jaxrl import load, registry
from jaxrl.algorithms import QLearning
from jaxrl.cli import reading, training, watching
from jaxrl.cli.commands import main
from jaxrl.config import Config, meanings
from jaxrl.fields import shown

LAKE = ["train", "q_learning", "FrozenLake-v1"]
POLE = ["train", "ppo", "CartPole-v1"]
SMALL = ["--seeds", "2", "--steps", "600", "--evaluate-every", "300", "--evaluation-episodes", "2"]


@pytest.fixture(autouse=True)
def nothing_prepared(monkeypatch):
    """It would stay so for the tests that follow in this process."""
    for module in (reading, training, watching):
        monkeypatch.setattr(module, "prepare", lambda: None)


def test_list_names_everything(capsys):
    main(["list"])
    printed = capsys.readouterr().out
    for name in (*registry.environments(), *registry.algorithms()):
        assert name in printed
    for prefix in registry.adapters():
        assert f"{prefix}:NAME" in printed
    assert "A gated recurrent unit" in printed  # not what its module holds


@pytest.mark.parametrize("name", sorted(registry.algorithms()))
def test_help_lists_every_hyper_parameter_with_default_and_meaning(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", name, "CartPole-v1", "--help"])
    assert stop.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    for config in (registry.algorithm(name), registry.environment("CartPole-v1")):
        for field, value in registry.plain_parameters(config).items():
            assert f"{field} {shown(value)}" in printed
    assert "--seeds" in printed


def test_help_takes_names_before_the_options_and_several(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "ppo,q_learning", "--seeds", "64", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "gae_lambda" in printed
    assert "epsilon_decay" in printed


def test_every_field_of_every_config_has_a_meaning():
    registered = (registry.algorithms(), registry.environments(), registry.components())
    configs = [config for kind in registered for config in kind.values()]
    for config in (*configs, *(adapter() for adapter in registry.adapters().values())):
        silent = [field for field, meaning in meanings(config).items() if not meaning]
        assert [field for field in silent if not isinstance(config.parameters()[field], Config)] == [], config


def test_train_and_report(tmp_path, capsys):
    out = str(tmp_path / "lake")
    settings = ["--set", "learning_rate=0.1,0.5", "--set", "double=true", "--env", "is_slippery=false"]
    main([*LAKE, *SMALL, *settings, "--out", out])
    printed = capsys.readouterr().out
    assert "4 runs, 1 program, 1 batch of width 4" in printed
    assert "learning_rate=0.5" in printed
    assert f"jaxrl report {out}" in printed
    main(["report", out, "--smallest-effect", "FrozenLake-v1=0.5"])
    assert capsys.readouterr().out.strip() == f"{out}/report.html"
    assert "runs needed for 0.5" in (tmp_path / "lake" / "report.html").read_text()
    assert (tmp_path / "lake" / "figures" / "learning-curves-FrozenLake-v1.svg").exists()


def test_a_dry_run_prints_the_plan_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main([*LAKE, *SMALL, "--set", "learning_rate=0.1,0.5", "--width", "3", "--dry-run"])
    plan = r"4 runs, 1 program, 2 batches of width 3, memory about [\d.]+ KB, of which states 840 B, 2,400 environment steps, at most 2,400 more in 3 evaluations of each run\n"
    assert re.fullmatch(plan, capsys.readouterr().out)
    assert not list(tmp_path.iterdir())


def test_a_preset_is_named_and_changed_by_options(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    preset = ["train", "q_learning", "GridWorld-v0", "--preset", "--dry-run"]
    main(preset)
    printed = capsys.readouterr()
    assert printed.out.startswith("1,000 runs, 1 program, ")
    said = "preset: q_learning in GridWorld-v0, seeds=1000, steps=1000, evaluation_episodes=1\n"
    assert printed.err == said
    main([*preset, "--seeds", "2", "--steps", "500", "--set", "double=false,true", "--evaluate-every", "250"])
    assert " 2,000 environment steps, at most 1,200 more in 3 evaluations of" in capsys.readouterr().out
    main(["list", "--presets"])
    assert re.search(r"q_learning +GridWorld-v0 +1,000 +1,000\b", capsys.readouterr().out)


def test_a_study_comes_from_a_file_and_goes_to_one(lake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["export", lake, "--to", "settings", "--out", "study.toml"])
    assert capsys.readouterr().out == "study.toml\n"
    main(["train", "--config", "study.toml", "--out", "again"])
    assert load("again").study == load(lake).study
    assert load("again").manifest["plan"]["width"] == load(lake).manifest["plan"]["width"]
    main(["train", "--config", "study.toml", "--seeds", "5", "--dry-run"])
    assert "5 runs, 1 program" in capsys.readouterr().out


def test_a_warm_up_longer_than_a_run_is_named_before_and_after_training(tmp_path, capsys):
    small = [
        "--set",
        "warmup=800",
        "--set",
        "capacity=1000",
        "--set",
        "network.hidden=4",
        "--out",
        str(tmp_path),
    ]
    main(["train", "dqn", "CartPole-v1", *SMALL, *small])
    sentence = (
        "a run of dqn has 600 steps and never gets past warmup=800: give more steps or a smaller warmup"
    )
    shown = capsys.readouterr()
    assert f"\n{sentence}\n" in shown.err
    assert f"\n{sentence}\n" in shown.out
    main(["report", str(tmp_path)])
    assert f"<li>A{sentence[1:]}.</li>" in (tmp_path / "report.html").read_text()


def test_episodes_of_evaluation_may_be_cut(tmp_path, capsys):
    """Of a time limit that never comes. The study's own evaluations, later ones and repeated ones are alike."""
    endless = ["--env", "max_steps=2147483647", "--evaluation-steps", "5", "--width", "2"]
    with pytest.raises(SystemExit):
        main([*LAKE, *SMALL, *endless, "--evaluation-steps", "0", "--dry-run"])
    assert "evaluation_steps must be an integer of at least 1, got 0" in capsys.readouterr().err
    main([*LAKE, *SMALL, *endless, "--out", str(tmp_path)])
    assert (
        ", at most 60 more in 3 evaluations of each run, of at most 5 steps an episode\n"
        in capsys.readouterr().err
    )
    results = load(tmp_path)
    assert results.curves.value[results.curves.metric == "eval_length"].max() == 5
    assert results.evaluate(results.study.environments).length.max() <= 5
    main(["report", str(tmp_path)])
    said = "is the mean return of 2 evaluation episodes of at most 5 steps each;"
    assert said in (tmp_path / "report.html").read_text()
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(tmp_path)])
    assert stop.value.code == 0


def test_lists_may_have_blanks_after_their_commas(capsys):
    names = ["train", "q_learning, q_learning", "FrozenLake-v1, GridWorld-v0", *SMALL]
    with pytest.raises(SystemExit):
        main([*names, "--dry-run"])
    assert "the study has the algorithm QLearning" in capsys.readouterr().err
    names[1] = "q_learning"
    main([*names, "--set", "learning_rate = 0.1, 0.5", "--dry-run"])
    assert capsys.readouterr().out.startswith("8 runs, 2 programs, ")


def test_the_default_folder_has_a_name_of_bounded_length(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxrl.text.LONGEST", 30)
    main(["train", "q_learning", "FrozenLake-v1, GridWorld-v0", *SMALL])
    (folder,) = (tmp_path / "runs").iterdir()
    assert len(folder.name) == 30
    assert f"jaxrl report runs/{folder.name}" in capsys.readouterr().out


def test_commands_to_copy_quote_a_path_with_blanks(tmp_path, capsys):
    out = tmp_path / "my lake"
    main([*LAKE, *SMALL, "--out", str(out)])
    assert f"next: jaxrl report '{out}'\n" in capsys.readouterr().out


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("study") / "lake")
    main([*LAKE, *SMALL, "--width", "2", "--out", out])
    return out


def exit_code(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code


def test_a_picture_is_drawn_without_training(lake, tmp_path, monkeypatch, capsys):
    def forbidden(*_):
        raise AssertionError

    monkeypatch.setattr(QLearning, "step", forbidden)
    gif = tmp_path / "lake.gif"
    main(["replay", lake, "--run", "1", "--gif", str(gif)])
    assert capsys.readouterr().out == f"{gif} shows the policy of run 1\n"
    assert gif.read_bytes().startswith(b"GIF89a")


def test_watch_plays_an_episode_as_text(lake, capsys):
    main(["watch", lake, "--run", "1", "--fps", "1000"])
    pages = capsys.readouterr().out.removesuffix("\n\n").split("\n\n")
    assert pages[0] == "[S] F  F  F \n F  H  F  H \n F  F  F  H \n H  F  F  G "
    assert pages[1] == "step 0, return 0"
    assert pages[-1].startswith(f"step {len(pages) // 2 - 1}, return ")
    assert len({*pages[::2]}) > 1


def test_watch_draws_what_has_no_text(lake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "_has_text", lambda *_: False)
    main(["watch", lake, "--run", "0"])
    assert capsys.readouterr().out.endswith("run-0.gif shows the policy of run 0\n")
    assert (tmp_path / "run-0.gif").read_bytes().startswith(b"GIF89a")


def test_pages_are_shown_in_place_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    watching._show(iter(["one\nline", "two\nlines"]), 0)
    printed = capsys.readouterr().out
    assert "one" in printed
    assert "\x1b[1A" in printed.partition("one")[2].partition("two")[0]


def test_evaluate_shows_each_environment_and_setting(lake, tmp_path, capsys):
    table = tmp_path / "table.csv"
    main(["evaluate", lake, "--env", "is_slippery=true,false", "--episodes", "20", "--out", str(table)])
    printed = capsys.readouterr().out
    assert re.search(r"FrozenLake-v1 is_slippery=False +q_learning +2 ", printed)
    rows = pd.read_csv(table)
    assert rows["environment"].unique().tolist() == ["FrozenLake-v1", "FrozenLake-v1 is_slippery=False"]
    assert rows["run"].tolist() == [0, 1, 0, 1]
    assert rows["episodes"].eq(20).all()
    main(["evaluate", lake, "--runs", "1:2", "--episodes", "1"])
    assert re.search(r"FrozenLake-v1 +q_learning +1 ", capsys.readouterr().out)


def test_evaluate_begins_with_the_training_environment(tmp_path, capsys):
    out = str(tmp_path / "short")
    main([*LAKE, *SMALL, "--env", "is_slippery=false", "--env", "max_steps=9", "--out", out])
    capsys.readouterr()
    main(["evaluate", out, "--env", "success_rate=0.5", "--episodes", "1"])
    assert "FrozenLake-v1 max_steps=9 is_slippery=False success_rate=0.5" in capsys.readouterr().out


def test_a_study_is_evaluated_in_named_environments_and_logged(tmp_path):
    out = tmp_path / "lake"
    dry = ["--evaluate-in", "dry:is_slippery=false,max_steps=20", "--log", "tensorboard,seeds"]
    main([*LAKE, *SMALL, *dry, "--out", str(out)])
    curves = pd.read_parquet(out / "curves.parquet")
    assert {"eval_return", "eval_return/dry", "eval_length/dry"} <= {*curves["metric"]}
    assert curves.loc[curves["metric"] == "eval_length/dry", "value"].max() <= 20
    assert len([*(out / "tensorboard").rglob("events.*")]) == 3  # two seeds and their mean


def test_only_seeds_are_logged_beside_the_means(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*LAKE, *SMALL, "--log", "tensorboard,runs", "--out", str(tmp_path / "lake")])
    said = "jaxrl: --log takes tensorboard or wandb, with or without ,seeds, got 'tensorboard,runs'\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "lake").exists()


def test_transitions_are_exported(lake, tmp_path, capsys):
    file = tmp_path / "data.npz"
    main(["export", lake, "--to", "npz", "--run", "1", "--steps", "7", "--explore", "--out", str(file)])
    assert capsys.readouterr().out == f"{file}\n"
    assert np.load(file)["reward"].shape == (7,)


def test_components_are_chosen_by_name_and_set_by_dotted_names(capsys):
    chosen = ["--set", "network=mlp", "--set", "network.hidden=8,4/4", "--set", "num_steps=8"]
    arguments = ["train", "ppo", "CartPole-v1", "--seeds", "1", "--steps", "64", "--dry-run"]
    main([*arguments, *chosen])
    assert capsys.readouterr().out.startswith("2 runs, 2 programs, ")


def test_replay_and_verify_say_that_runs_come_back(lake, capsys):
    assert exit_code(["replay", lake, "--run", "1"]) == 0
    assert capsys.readouterr().out == "run 1: curve and final state reproduced bit for bit\n"
    assert exit_code(["verify", lake, "--runs", "2"]) == 0
    assert capsys.readouterr().out.count("reproduced bit for bit") == 2


def test_verify_fails_where_a_state_is_damaged(lake, tmp_path, capsys):
    copy = shutil.copytree(lake, tmp_path / "copy")
    (copy / "checkpoints" / "batch-00000.json").unlink()
    assert exit_code(["verify", str(copy)]) == 1
    out, err = capsys.readouterr()
    assert "is damaged: its checkpoint is missing" in out
    assert "saved states: 0 of 1 match their hashes" in out
    assert not err


def test_verify_fails_where_a_run_does_not_come_back(lake, monkeypatch, capsys):
    original = QLearning.step

    def other(self, env, state, key, t, total):
        state, metrics = original(self, env, state, key, t, total)
        return state.replace(q=state.q + 1e-6), metrics

    monkeypatch.setattr(QLearning, "step", other)
    jax.clear_caches()
    assert exit_code(["verify", lake, "--runs", "2"]) == 1
    assert "differs, first in " in capsys.readouterr().out
    monkeypatch.undo()
    jax.clear_caches()


def test_resume_extends(lake, tmp_path, capsys):
    copy = str(shutil.copytree(lake, tmp_path / "copy"))
    main(["resume", copy, "--extend-seeds", "7:9", "--extend-steps", "1200"])
    assert "4 runs, 1 program, 2 batches of width 2" in capsys.readouterr().out
    results = load(copy)
    assert results.runs.seed.to_list() == [0, 1, 7, 8]
    assert results.runs.steps.to_list() == [1_200] * 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["watch", "LAKE", "--run", "2"], "run must be in [0, 1], got 2"),
        (["watch", "LAKE", "--run", "0", "--fps", "0"], "--fps must be in [0.1, 1000], got 0"),
        (["watch", "LAKE", "--run", "0", "--episodes", "0"], "--episodes must be at least 1, got 0"),
        (["replay", "LAKE", "--run", "2"], "run must be in [0, 1], got 2"),
        (["replay", "LAKE", "--run", "first"], "argument --run: an integer is expected, got 'first'"),
        (["verify", "LAKE", "--runs", "0"], "runs must be an integer of at least 1, got 0"),
        (["resume", "LAKE", "--extend-seeds", "1:4"], "the study has seed 1 already"),
        (["resume", "LAKE", "--extend-steps", "600"], "extend them to 601 or more, got 600"),
        (["resume", "LAKE", "--rerun", "1"], "rerun must be a batch in [0, 0] or all, got 1"),
        (["resume", "LAKE", "--rerun", "foo"], "rerun must be a batch in [0, 0] or all, got 'foo'"),
    ],
)
def test_bad_input_about_a_study(arguments, sentence, lake, capsys):
    assert exit_code([lake if argument == "LAKE" else argument for argument in arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_several_algorithms_and_environments(tmp_path, capsys):
    names = ["train", "q_learning", "FrozenLake-v1,GridWorld-v0"]
    main([*names, *SMALL, "--out", str(tmp_path / "both")])
    printed = capsys.readouterr().out
    assert "FrozenLake-v1" in printed
    assert "GridWorld-v0" in printed


def test_an_environment_of_another_library(tmp_path, monkeypatch, capsys):
    """By its prefixed name in help, training, folder, manifest, table and report."""
    name = "gymnax:FrozenLake-misc"
    with pytest.raises(SystemExit) as stop:
        main(["train", "q_learning", name, "--help"])
    assert stop.value.code == 0
    assert "max_steps 100" in " ".join(capsys.readouterr().out.split())
    monkeypatch.chdir(tmp_path)
    main(["train", "q_learning", f"{name},FrozenLake-v1", *SMALL, "--env", "max_steps=50"])
    folder = "runs/q_learning-gymnax-FrozenLake-misc,FrozenLake-v1"
    assert f"jaxrl report {folder}" in capsys.readouterr().out
    main(["report", folder])
    assert name in (tmp_path / folder / "report.html").read_text()
    results = load(folder)
    assert list(results.runs.environment.unique()) == [name, "FrozenLake-v1"]
    assert (results.runs["env.max_steps"] == 50).all()
    assert results.policy(run=0).predict(0)[0] in range(4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["train", "ppo", "gymnx:A-v0", *SMALL],
            "unknown prefix of an environment 'gymnx': did you mean 'gymnax'?",
        ),
        (
            ["train", "ppo", "gymnax:CartPoel-v1", *SMALL],
            "unknown environment of gymnax 'CartPoel-v1': did you mean 'CartPole-v1'?",
        ),
        (["train", "ppo", "Breakout-MinAtar", *SMALL], "gymnasium:NAME, gymnax:NAME"),
        ([*POLE[:1], "pp", *POLE[2:], *SMALL], "unknown algorithm 'pp': did you mean 'ppo'? known are"),
        ([*POLE[:2], "cartpole", *SMALL], "unknown environment 'cartpole': did you mean 'CartPole-v1'?"),
        ([*POLE, *SMALL, "--set", "learning_rat=1"], "unknown field of PPO 'learning_rat': did you mean"),
        (
            [*POLE, *SMALL, "--env", "gravty=1"],
            "unknown field of CartPole 'gravty': did you mean 'gravity'",
        ),
        ([*POLE, *SMALL, "--set", "learning_rate=fast"], "PPO.learning_rate must be a number, got 'fast'"),
        ([*POLE, *SMALL, "--set", "learning_rate=-1"], "PPO.learning_rate must be at least 0, got -1.0"),
        ([*POLE, *SMALL, "--set", "discount=1.2"], "PPO.discount must be in [0, 1], got 1.2"),
        ([*POLE, *SMALL, "--set", "minibatches=5"], "must divide num_envs x num_steps = 512, got 5"),
        (
            [*POLE, *SMALL, "--set", "network.hidden=64/x"],
            "PPO.network.hidden must be a tuple of int, got '64/x'",
        ),
        (
            [*LAKE, *SMALL, "--evaluate-in", "dry"],
            "--evaluate-in needs name:field=value,field=value,..., got 'dry'",
        ),
        (
            [*LAKE, *SMALL, "--evaluate-in", "a:is_slipery=true"],
            "unknown field of FrozenLake 'is_slipery': did you mean",
        ),
        ([*LAKE, *SMALL, "--log", "tensorbord"], "unknown log 'tensorbord': did you mean 'tensorboard'?"),
        (
            [*LAKE, *SMALL, "--env", "max_steps=5,6", "--evaluate-in", "dry:is_slippery=false"],
            "--evaluate-in needs one training environment, got 2",
        ),
        (
            [*POLE, *SMALL, "--set", "network=cnn"],
            "unknown network 'cnn': known are attention, gru, lstm, mlp",
        ),
        ([*POLE, *SMALL, "--set", "network.hiden=8"], "unknown field of MLP 'hiden': did you mean 'hidden'?"),
        ([*POLE, *SMALL, "--set", "clip"], "--set needs field=value or field=value,value,..., got 'clip'"),
        ([*POLE, *SMALL, "--set", "clip=1", "--set", "clip=2"], "--set clip was given twice"),
        ([*LAKE, *SMALL, "--set", "epsilon_start=3"], "QLearning.epsilon_start must be in [0, 1], got 3.0"),
        ([*LAKE, *SMALL, "--set", "epsilon_schedule=cosine"], "unknown value of QLearning.epsilon_schedule"),
        ([*LAKE, *SMALL, "--env", "rows=SF/FF"], "a FrozenLake map needs a goal (G), got ('SF', 'FF')"),
        ([*LAKE, *SMALL, "--env", "rows=FF/FG"], "a FrozenLake map needs a start (S)"),
        (
            [*LAKE, *SMALL, "--env", "rows=SFF/FG"],
            "a FrozenLake map needs one row or more, all of equal length",
        ),
        (
            ["train", "q_learning", "CartPole-v1", *SMALL],
            "needs discrete observations; CartPole has real ones",
        ),
        ([*POLE, "--seeds", "0", "--steps", "600"], "at least one, got '0'"),
        ([*POLE, "--seeds", "9:3", "--steps", "600"], "at least one, got '9:3'"),
        ([*POLE, "--seeds", "2", "--steps", "511"], "one iteration of PPO, 512 steps, got 511"),
        ([*POLE, "--seeds", "2", "--steps", "0"], "steps must be an integer of at least 1, got 0"),
        ([*POLE, "--seeds", "2", "--steps", "10000000000"], "steps must be at most 2147483647"),
        ([*POLE, "--seeds", "99999999999", "--steps", "600"], "seeds must be at most 1,000,000"),
        ([*POLE, *SMALL, "--out", "x" * 300], "cannot be read: File name too long"),
        (["report", "x" * 300], "cannot be read: File name too long"),
        ([*POLE, *SMALL, "--width", "0"], "width must be an integer of at least 1, got 0"),
        ([*POLE, *SMALL, "--prng", "rbg"], "prng 'rbg' draws all lanes' bits from the first lane's key"),
        ([*POLE, *SMALL, "--out", "/dev/null/x"], "/dev/null/x cannot be written"),
        ([*POLE, *SMALL, "--memory", "much"], "memory must be a size such as 4GB or 500MB, got 'much'"),
        (
            [*POLE, *SMALL, "--memory", "9KB"],
            "KB would take more than the memory of 9 KB",
        ),
        (
            [*POLE, *SMALL, "--checkpoint-every", "-1"],
            "checkpoint_every must be a number of seconds of at least 0, got -1.0",
        ),
        (["report", "/nowhere"], "/nowhere holds no study"),
        (["resume", "/nowhere"], "/nowhere is not a results folder"),
        (["replay", "/nowhere", "--run", "0"], "/nowhere is not a results folder"),
        (["verify", "/nowhere"], "/nowhere is not a results folder"),
        (["report", "/dev/null"], "/dev/null is not a folder"),
        (
            ["report", "/nowhere", "--smallest-effect", "some"],
            "a number or environment=number,..., got 'some'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_sentence(arguments, sentence, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("jaxrl: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    ["", "def broken(:", "raise RuntimeError('no')", "ENVIRONMENTS = {'A': 1}", None],
)
def test_a_foreign_envs_package_is_named(content, tmp_path):
    (tmp_path / "envs").mkdir()
    if content is not None:
        (tmp_path / "envs" / "__init__.py").write_text(content)
    command = [sys.executable, "-c", "from jaxrl.cli import main; main(['list'])"]
    path = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=path, capture_output=True, text=True, check=False)
    if content is None and done.returncode == 0:
        pytest.skip("installed as a regular package, which goes before a folder without __init__.py")
    assert done.returncode == 2
    assert f"the package 'envs' was found at {tmp_path / 'envs'}" in done.stderr
    assert "Traceback" not in done.stderr


def test_python_m_jaxrl_is_the_same_command(tmp_path):
    command = [sys.executable, "-m", "jaxrl", "train", "nothing", "GridWorld-v0", *SMALL]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown algorithm 'nothing'" in done.stderr


ISLAND = """
import gymnasium
class Island(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(2), gymnasium.spaces.Discrete(2)
gymnasium.register("Island-v0", Island, max_episode_steps=20)
"""


def test_a_module_beside_the_user_registers_environments(tmp_path):
    """The script `jaxrl` does not look there by itself, as `python -m jaxrl` does."""
    (tmp_path / "islands.py").write_text(ISLAND)
    (tmp_path / "numpy.py").write_text("raise RuntimeError('hides the installed one')")
    arguments = ["train", "q_learning", "gymnasium:islands:Island-v0", *SMALL, "--dry-run"]
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.remove(''); from jaxrl.cli import main; main({arguments})",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 runs, 1 program, ")
