"""`jaxrl solve`: what it prints of known optima, its picture, and what it refuses."""

import numpy as np
import pytest
from PIL import Image

from envs.tabular import MDP, discounted, policy_iteration
from jaxrl import registry
from jaxrl.cli import solving
from jaxrl.cli.commands import main
from jaxrl.mdp.tabular import reachable
from tests.envs.test_tabular import PlainGridWorld, SlipperyGridWorld


@pytest.fixture(autouse=True)
def nothing_prepared(monkeypatch):
    """It would stay so for the tests that follow in this process."""
    monkeypatch.setattr(solving, "prepare", lambda: None)


def printed(capsys, *words):
    main(["solve", *words])
    return capsys.readouterr().out


def test_the_lake(capsys):
    """The numbers of the standard lake; its policy turns away from the holes."""
    lines = printed(capsys, "FrozenLake-v1").splitlines()
    assert lines[:4] == [
        "FrozenLake-v1: 16 states, 4 actions",
        "value at the start, with discount 0.99: 0.5420",
        "return of this policy within 100 steps: 0.7402",
        "return of the best policy that may depend on the step: 0.7442",
    ]
    assert lines[5:9] == ["← ↑ ↑ ↑", "← · ← ·", "↑ ↓ ← ·", "· → ↓ ·"]
    assert lines[10] == "0.542 0.499 0.471 0.457"


def test_what_cannot_be_reached_stays_empty(capsys):
    lines = printed(capsys, "CliffWalking-v1", "--method", "policy").splitlines()
    assert lines[5:9] == [*["→ → → → → → → → → → → ↓"] * 3, "↑" + " " * 21 + "·"]


def test_fields_and_discount_count(capsys):
    lines = printed(capsys, "DeepSea-v0", "--env", "size=3", "--discount", "0.5").splitlines()
    assert lines[0] == "DeepSea-v0 size=3: 10 states, 2 actions"
    assert lines[1] == f"value at the start, with discount 0.5: {0.25 - 0.01 / 3 * 1.75:.4f}"
    assert [lines[5][0], lines[6][2], lines[7][4]] == ["↘"] * 3


def test_without_a_map_there_is_a_line_for_each_state(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(registry.environments(), "Plain", PlainGridWorld(size=2))
    file = tmp_path / "plain.png"
    lines = [line.split() for line in printed(capsys, "Plain", "--out", str(file)).splitlines()]
    assert ["state", "action", "value"] in lines
    assert ["1", "1", "10.0000"] in lines
    assert ["3", "·", "0.0000"] in lines
    assert np.ptp(np.asarray(Image.open(file))) > 0


def test_the_picture(capsys, tmp_path):
    files = [tmp_path / name for name in ("one.png", "two.png")]
    for file, discount in zip(files, ("0.99", "0.5"), strict=True):
        assert f"{file} shows values and policy" in printed(
            capsys, "GridWorld-v0", "--out", str(file), "--discount", discount
        )
    one, two = (np.asarray(Image.open(file)) for file in files)
    assert one.shape[0] > 200
    assert one.shape != two.shape or (one != two).any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["CartPole-v1"],
            "CartPole-v1 has no finite table of states and actions to solve; train a learner instead, such as jaxrl train dqn CartPole-v1",
        ),
        (["Pendulum-v1"], "such as jaxrl train sac Pendulum-v1"),
        (["BernoulliBandit-v0"], "such as jaxrl train thompson BernoulliBandit-v0"),
        (
            ["GridWorld-v0", "--env", "size=1000"],
            "GridWorld-v0 has 1,000,000 states, whose table of transitions takes 32,000 GB; solve one of at most 7,905 states",
        ),
        (
            ["GridWorld-v0", "--env", "size=2,3"],
            "solve takes one environment with one value of each field, got 2",
        ),
        (["GridWorld"], "unknown environment 'GridWorld': did you mean 'GridWorld-v0'?"),
        (["GridWorld-v0", "--method", "valu"], "unknown method 'valu': did you mean 'value'?"),
        (["GridWorld-v0", "--discount", "1"], "value iteration needs a discount in [0, 1), got 1.0"),
        (
            ["GridWorld-v0", "--method", "policy", "--discount", "-1"],
            "policy iteration needs a discount in [0, 1), got -1.0",
        ),
        (["GridWorld-v0", "--out", "x.foo"], "x.foo cannot be written: Format 'foo' is not supported"),
        (
            ["GridWorld-v0", "--out", "/nowhere/x.png"],
            "/nowhere/x.png cannot be written: No such file or directory",
        ),
        (
            ["Slippery"],
            "SlipperyGridWorld cannot be enumerated: it draws in reset or step; a FiniteEnvironment lists its outcomes",
        ),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_what_cannot_be_solved_is_refused_in_one_sentence(words, said, capsys, monkeypatch):
    monkeypatch.setitem(registry.environments(), "Slippery", SlipperyGridWorld())
    with pytest.raises(SystemExit) as stop:
        main(["solve", *words])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_both_methods_agree_on_random_problems():
    rng = np.random.default_rng(0)
    for _ in range(20):
        transition = 0.9 * rng.dirichlet(np.ones(6) / 2, (6, 3))
        mdp = MDP(np.eye(6)[0], transition, rng.normal(size=(6, 3)))
        one, other = discounted(mdp, 0.9), policy_iteration(mdp, 0.9)
        np.testing.assert_allclose(one.value, other.value, atol=1e-9)
        np.testing.assert_allclose(one.action_value, other.action_value, atol=1e-9)
        np.testing.assert_array_equal(one.policy, other.policy)


def test_reachable_states():
    """0 leads to 1 by one action; 2 leads to 0, but nothing leads to 2."""
    transition = np.zeros((3, 2, 3))
    transition[0, 1, 1] = transition[2, 0, 0] = 1.0
    assert reachable(MDP(np.eye(3)[0], transition, np.zeros((3, 2)))).tolist() == [True, True, False]
