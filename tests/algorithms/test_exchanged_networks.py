"""Networks as components of the learners: one of a user's own, and the parts of the one that they come with."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole, Pendulum
from jaxrl import InputError
from jaxrl.algorithms import A2C, DQN, PPO, PQN, SAC, TD3, TRPO, DiscreteSAC
from jaxrl.config import static, traced
from jaxrl.learning.check import trace_algorithm
from jaxrl.learning.inputs import features
from jaxrl.learning.networks import Network

# Each learner with an environment and the number of networks that its state holds, targets among them.
LEARNERS = {
    "ppo": (PPO(), Pendulum(), 2),
    "ppo with one torso": (PPO(shared_torso=True), Pendulum(), 1),
    "a2c": (A2C(), CartPole(), 2),
    "trpo": (TRPO(), Pendulum(), 2),
    "dqn": (DQN(), CartPole(), 2),
    "dueling dqn": (DQN(dueling=True), CartPole(), 2),
    "pqn": (PQN(), CartPole(), 1),
    "sac": (SAC(), Pendulum(), 5),
    "td3": (TD3(), Pendulum(), 6),
    "discrete_sac": (DiscreteSAC(), CartPole(), 5),
}


class Sines(Network):
    """A torso of a user's own: one layer of sines."""

    units: int = static(5, low=1)
    frequency: float = traced(1.0, low=0)

    def module(self, space):
        return SineLayer(self.units, self.frequency)


class SineLayer(nn.Module):
    units: int
    frequency: Any

    @nn.compact
    def __call__(self, x, action=None):
        x = x if action is None else jnp.concatenate([x, action], axis=-1)
        return jnp.sin(self.frequency * nn.Dense(self.units, name="inner")(x))


def kernels(params):
    """Shapes of the weights of each layer, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves if "kernel" in str(path[-1])}


def without_optimiser(state):
    return state.replace(optimiser=None)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_network_of_ones_own_takes_the_place_of_every_torso(name):
    algorithm, env, networks = LEARNERS[name]
    own = algorithm.with_values(network=Sines(), **{"network.units": 7})
    state, _ = trace_algorithm(own, env)
    shapes = kernels(without_optimiser(state))
    torsos = [shape for path, shape in shapes.items() if "torso" in path]
    assert len(torsos) == networks
    assert all("inner" in path for path in shapes if "torso" in path)
    assert {shape[-1] for shape in torsos} == {7}
    assert {shape[0] for path, shape in shapes.items() if "torso" not in path} == {7}


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x, action=None):
        return x, x


class Returning(Network):
    """Makes whatever it is told to."""

    what: str = static("nothing")

    def module(self, space):
        return Pair() if self.what == "a pair" else None


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("nothing", "Returning.module must return a flax module, got None"),
        ("a pair", r"Returning.module must map an input to float32\[m\], got float32\[4\], float32\[4\] in"),
    ],
)
def test_a_network_that_makes_no_torso_is_one_sentence(what, sentence):
    with pytest.raises(InputError, match=sentence):
        PPO(network=Returning(what=what)).validate_for(CartPole())


def program(algorithm, env):
    """What a learner starts with, and what it computes to act, as text."""

    def act(state, obs):
        return algorithm.act(env, state, (), obs, random.key(0), False)

    key, space = random.key(0), env.observation_space
    state = jax.eval_shape(lambda key: algorithm.init(env, key), key)
    start = jax.make_jaxpr(lambda key: algorithm.init(env, key))(key)
    return str(start), str(jax.make_jaxpr(act)(state, jax.ShapeDtypeStruct(space.shape, space.dtype))), state


@pytest.mark.parametrize("name", LEARNERS)
def test_every_part_of_the_network_is_used(name):
    algorithm, env, networks = LEARNERS[name]
    start, acting, state = program(algorithm, env)
    other = {"activation": "relu" if algorithm.network.activation == "tanh" else "tanh"}
    other["initialiser"] = {"orthogonal": "lecun_normal", "lecun_normal": "orthogonal"}[
        algorithm.network.initialiser
    ]

    _, changed, same = program(algorithm.with_values(**{"network.activation": other["activation"]}), env)
    assert changed != acting
    assert kernels(same) == kernels(state)
    changed, _, same = program(algorithm.with_values(**{"network.initialiser": other["initialiser"]}), env)
    assert changed != start
    assert kernels(same) == kernels(state)
    _, _, larger = program(algorithm.with_values(**{"network.hidden": (8, 9, 10)}), env)
    outputs = [shape[-1] for path, shape in kernels(without_optimiser(larger)).items() if "torso" in path]
    assert sorted(outputs) == sorted([8, 9, 10] * networks)


def test_a_traced_field_of_a_network_differs_between_lanes():
    """DQN's values are those of a formula, for two frequencies in one program."""
    env, x = CartPole(), np.float32([0.1, -0.2, 0.3, 0.4])
    frequencies = jnp.array([1.0, 3.0])

    @jax.jit
    def values(key, frequencies):
        def one(frequency):
            algorithm = DQN(network=Sines(frequency=frequency))
            network = algorithm.values(env)
            params = network.init(key, features(env.observation_space, x))
            return params, network.apply(params, x)[:, 0]

        return jax.vmap(one)(frequencies)

    params, found = values(random.key(0), frequencies)
    layers = params["params"]
    for lane, frequency in enumerate(frequencies):
        inner = np.sin(frequency * (x @ layers["torso"]["inner"]["kernel"][lane]))
        np.testing.assert_allclose(
            found[lane], inner @ layers["Dense_0"]["kernel"][lane], rtol=1e-4, atol=1e-6
        )
    assert not np.allclose(found[0], found[1], rtol=0.1)


@pytest.mark.parametrize("name", LEARNERS)
def test_what_is_no_network_is_refused(name):
    algorithm, *_ = LEARNERS[name]
    learner = type(algorithm).__name__
    with pytest.raises(InputError, match=f"^{learner}.network must be an instance of Network, got 64$"):
        algorithm.with_values(network=64)
