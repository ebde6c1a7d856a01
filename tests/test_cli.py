import os
import subprocess
import sys

import pytest
from jax import random

from jaxrl import compilation_cache, load, registry
from jaxrl.cli import main
from jaxrl.config import meanings, shown

LAKE = ["train", "q_learning", "FrozenLake-v1"]
POLE = ["train", "ppo", "CartPole-v1"]
SMALL = ["--seeds", "2", "--steps", "600", "--evaluate-every", "300", "--evaluation-episodes", "2"]


@pytest.fixture(autouse=True)
def no_compilation_cache(monkeypatch):
    """It would stay switched on for the tests that follow in this process."""
    monkeypatch.setattr(compilation_cache, "enable_compilation_cache", lambda: None)


def test_list_names_everything(capsys):
    main(["list"])
    printed = capsys.readouterr().out
    for name in (*registry.environments(), *registry.algorithms()):
        assert name in printed
    for prefix in registry.doors():
        assert f"{prefix}:NAME" in printed


@pytest.mark.parametrize("name", sorted(registry.algorithms()))
def test_help_lists_every_hyper_parameter_with_default_and_meaning(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", name, "CartPole-v1", "--help"])
    assert stop.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    for config in (registry.algorithm(name), registry.environment("CartPole-v1")):
        for field, value in config.parameters().items():
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
    classes = map(type, (*registry.algorithms().values(), *registry.environments().values()))
    for cls in (*classes, *registry.doors().values()):
        assert [field for field, meaning in meanings(cls).items() if not meaning] == [], cls


def test_train_and_report(tmp_path, capsys):
    out = str(tmp_path / "lake")
    settings = ["--set", "learning_rate=0.1,0.5", "--set", "double=true", "--env", "is_slippery=false"]
    main([*LAKE, *SMALL, *settings, "--out", out])
    printed = capsys.readouterr().out
    assert "4 runs, 1 program, 1 batch of width 4" in printed
    assert "learning_rate=0.5" in printed
    assert f"jaxrl report {out}" in printed
    main(["report", out])
    assert capsys.readouterr().out.strip() == f"{out}/report.html"


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
    assert results.policy(run=0)(0, random.key(0)) in range(4)


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
        ([*POLE, *SMALL, "--set", "hidden=64/x"], "PPO.hidden must be a tuple of int, got '64/x'"),
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
        ([*POLE, "--seeds", "2", "--steps", "many"], "steps must be an integer of at least 1, got 'many'"),
        ([*POLE, "--seeds", "2", "--steps", "10000000000"], "steps must be at most 2147483647"),
        ([*POLE, "--seeds", "99999999999", "--steps", "600"], "seeds must be at most 1,000,000"),
        ([*POLE, *SMALL, "--out", "x" * 300], "cannot be read: File name too long"),
        (["report", "x" * 300], "cannot be read: File name too long"),
        ([*POLE, *SMALL, "--width", "0"], "width must be an integer of at least 1, got 0"),
        ([*POLE, *SMALL, "--prng", "rbg"], "prng 'rbg' draws all lanes' bits from the first lane's key"),
        ([*POLE, *SMALL, "--out", "/dev/null/x"], "/dev/null/x cannot be written"),
        (["report", "/nowhere"], "/nowhere holds no study"),
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


@pytest.mark.parametrize("arguments", [["trian"], ["train", "ppo"], [*POLE, *SMALL, "--sed", "3"], []])
def test_wrong_usage_exits_with_2(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


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
