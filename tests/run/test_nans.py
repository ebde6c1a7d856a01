"""The operation with which a run ceased to be finite is found, with its line."""

import jax
import jax.numpy as jnp
import pytest

from envs import GridWorld
from jaxrl import InputError, registry, train
from jaxrl.algorithm import traced
from jaxrl.algorithms import QLearning
from jaxrl.cli import main
from jaxrl.environment import Wrapper
from jaxrl.run.nans import first_nan

SETTINGS = {"seeds": 2, "steps": 64, "evaluate_every": 32, "evaluation_episodes": 1, "width": 2}


class Vanishing(QLearning):
    """From an iteration on, the derivative of its penalty is 0/0."""

    lasts: int = traced(10**6)

    def step(self, env, state, key, t, total):
        state, metrics = super().step(env, state, key, t, total)
        slope = jax.grad(distance)(jnp.where(t < self.lasts, 1.0, 0.0))
        return state.replace(q=state.q + 0 * slope), metrics


def distance(x):
    return jnp.sqrt(x * x)


class Growing(QLearning):
    """It is infinite from its start."""

    def init(self, env, key):
        state = super().init(env, key)
        return state.replace(q=jnp.exp(state.q + 1e3))


class Priceless(Wrapper):
    """Where it is evaluated, rewards are the logarithms of negative numbers."""

    def step(self, key, state, action):
        state, reward, terminated = super().step(key, state, action)
        return state, jnp.log(reward - 1e3), terminated


@pytest.fixture
def trained(tmp_path, monkeypatch):
    def run(algorithm, **options):
        monkeypatch.setitem(registry.algorithms(), "hurt", algorithm)
        monkeypatch.setitem(registry.environments(), "Priceless", Priceless(env=GridWorld()))
        return train(algorithm, GridWorld(max_steps=4), out=tmp_path / "hurt", **SETTINGS, **options)

    return run


def test_the_iteration_and_the_line_of_the_forward_pass_are_named(trained, capsys):
    results = trained(Vanishing(lasts=41))
    assert set(results.runs.status) == {"failed"}
    main(["replay", str(results.path), "--run", "1", "--debug-nans"])
    said = capsys.readouterr().out
    assert said.startswith("run 1: state is not finite, first in iteration 41\n")
    assert "return jnp.sqrt(x * x)\n" in said
    assert "\ninvalid value (nan) encountered in " in said
    assert "/jax/" not in said
    with pytest.raises(InputError, match=r"run must be in \[0, 1\], got 2"):
        first_nan(results, 2)


def test_an_infinite_start_is_found(trained):
    found = first_nan(trained(Growing()), 0)
    assert (found.value, found.part) == ("state", "the initial state")
    assert found.error == "invalid value (inf) encountered in exp"
    assert "jnp.exp(state.q + 1e3)" in found.lines


def test_an_evaluation_is_searched_too(trained):
    found = first_nan(trained(QLearning(), evaluate_in={"dear": Priceless(env=GridWorld(max_steps=4))}), 1)
    assert (found.value, found.part) == ("eval_return/dear", "the evaluation at step 0")
    assert found.error == "invalid value (nan) encountered in log"
    assert "jnp.log(reward - 1e3)" in found.lines


def test_a_run_that_stays_finite(trained):
    assert str(first_nan(trained(QLearning()), 0)) == "run 0: trained again, and all is finite"
