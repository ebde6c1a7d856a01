"""The check of an environment: what it accepts, and the sentence for what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax import random

from envs import CartPole
from jaxrl.environment import Box, Discrete, Environment, Episode, check_contract
from jaxrl.errors import InputError


class Any(Environment):
    """Its spaces and its reward are what a test gives."""

    def reset(self, key):
        return jnp.zeros(2)

    def step(self, key, state, action):
        return state, REWARD["is"], False

    def observe(self, state):
        return state

    @property
    def observation_space(self):
        return SPACES.get("observations", Box(-1, 1, (2,)))

    @property
    def action_space(self):
        return SPACES.get("actions", Discrete(2))


REWARD, SPACES = {"is": 1.0}, {}


@pytest.mark.parametrize("reward", [1, 0.5, True, np.float64(0.5)], ids=repr)
def test_a_reward_may_be_a_number_of_python(reward, monkeypatch):
    monkeypatch.setitem(REWARD, "is", reward)
    env = Any()
    check_contract(env)
    _, transition = Episode.start(env, random.key(0)).step(env, random.key(1), jnp.int32(0))
    assert (transition.reward, transition.reward.dtype) == (float(reward), jnp.float32)
    assert transition.episode_return == float(reward)


@pytest.mark.parametrize("reward", [np.int64(1), jnp.int32(1), np.ones(1, np.float32), None], ids=repr)
def test_other_rewards_are_refused(reward, monkeypatch):
    monkeypatch.setitem(REWARD, "is", reward)
    with pytest.raises(InputError, match=r"Any.step must return a reward of float32"):
        check_contract(Any())


@pytest.mark.parametrize(
    ("kind", "space", "said"),
    [
        ("actions", Discrete(0), "action_space must have an integer n of at least 1, got 0"),
        ("observations", Discrete(-3), "observation_space must have an integer n of at least 1, got -3"),
        ("actions", Discrete(2.0), "action_space must have an integer n of at least 1, got 2.0"),
        ("actions", Discrete(True), "action_space must have an integer n of at least 1, got True"),
        (
            "observations",
            Box(0, 1, (0,)),
            r"observation_space must hold at least one number, got shape \(0,\)",
        ),
        ("actions", Box(0, 1, (2, 0)), r"action_space must hold at least one number, got shape \(2, 0\)"),
        ("actions", Box(0, 1, 2), "action_space must have a shape that is a tuple of integers, got 2"),
        ("actions", Box(0, 1, (2.0,)), r"must have a shape that is a tuple of integers, got \(2.0,\)"),
        ("actions", Box(1, 0, (2,)), "action_space must have low <= high, got 1 and 0"),
        ("actions", Box(np.nan, 0, (2,)), "action_space must have low <= high, got nan and 0"),
        ("actions", Box(np.zeros(3), 1, (2,)), r"of shape \(2,\) must have bounds of that shape, got \(3,\)"),
        ("actions", Box(0, np.ones((1, 2)), (2,)), r"must have bounds of that shape, got \(1, 2\)"),
    ],
    ids=str,
)
def test_spaces_without_elements_are_refused(kind, space, said, monkeypatch):
    monkeypatch.setitem(SPACES, kind, space)
    with pytest.raises(InputError, match=f"^Any.*{said}"):
        check_contract(Any())


def test_bounds_may_broadcast_and_sizes_may_be_numpys(monkeypatch):
    monkeypatch.setitem(SPACES, "observations", Box(np.zeros(1), np.inf, (np.int64(2),)))
    monkeypatch.setitem(SPACES, "actions", Discrete(np.int64(3)))
    check_contract(Any())


def test_64_bits_are_refused_and_no_environment_is_blamed():
    with (
        jax.enable_x64(True),
        pytest.raises(InputError, match=r"^jaxrl computes with 32 bits .* unset JAX_ENABLE_X64"),
    ):
        check_contract(CartPole())


class Model:
    """Constants that are equal by their value and written with their address, as those of MJX."""

    def __eq__(self, other):
        return isinstance(other, Model)

    def __hash__(self):
        return 0


class Simulated(struct.PyTreeNode):
    position: jax.Array
    model: Model = struct.field(pytree_node=False)


class Physics(Any):
    """Each step makes its model anew."""

    def reset(self, key):
        return Simulated(jnp.zeros(2), Model())

    def step(self, key, state, action):
        return Simulated(state.position, Model()), 0.0, False

    def observe(self, state):
        return state.position


def test_equal_constants_in_a_state_may_be_other_objects():
    check_contract(Physics())
