"""No option of A2C, REINFORCE and TRPO does nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import Pendulum
from jaxrl.algorithms import A2C, REINFORCE, TRPO
from jaxrl.config import names_of
from jaxrl.learning.networks import MLP
from tests.lanes import batch_of, bits, trained

ENV = Pendulum(max_steps=6)
NETWORK = MLP(hidden=(4,))
LEARNERS = {
    "a2c": A2C(num_envs=2, network=NETWORK),
    "reinforce": REINFORCE(num_envs=2, num_steps=5, episodes=2, network=NETWORK),
    "trpo": TRPO(num_steps=8, minibatches=2, epochs=1, max_kl=0.3, network=NETWORK),
}
OTHER = {
    "anneal_learning_rate": True,
    "baseline": False,
    "cg_damping": 0.01,
    "cg_iterations": 1,
    "discount": 0.5,
    "entropy_coefficient": 0.1,
    "episodes": 4,
    "epochs": 2,
    "gae_lambda": 0.5,
    "line_search_decay": 0.1,
    "line_search_steps": 1,
    "max_grad_norm": 0.1,
    "max_kl": 0.01,
    "minibatches": 4,
    "num_envs": 4,
    "num_steps": 10,
    "value_coefficient": 2.0,
}


def other(algorithm, field):
    """The algorithm with another value of a field."""
    value = getattr(algorithm, field)
    flipped = not value if isinstance(value, bool) else 0.01
    return algorithm.replace(**{field: OTHER.get(field, flipped)})


@pytest.mark.parametrize("name", LEARNERS)
def test_every_traced_option_changes_what_is_learned(name):
    algorithm = LEARNERS[name]
    fields = names_of(type(algorithm), "traced")
    lanes = [algorithm, *(other(algorithm, field) for field in fields)]
    state = trained(batch_of(lanes, ENV, [1] * len(lanes)), 8)
    params = [bits(state.params, lane) for lane in range(len(lanes))]
    same = [
        field
        for field, found in zip(fields, params[1:], strict=True)
        if all(np.array_equal(a, b) for a, b in zip(found, params[0], strict=True))
    ]
    assert same == []


@pytest.mark.parametrize("name", LEARNERS)
def test_every_static_option_changes_what_is_computed(name):
    algorithm = LEARNERS[name]

    def program(algorithm):
        key, t = random.key(0), jnp.int32(0)
        state = jax.eval_shape(lambda: algorithm.init(ENV, key))
        return str(jax.make_jaxpr(lambda state: algorithm.step(ENV, state, key, t, t))(state))

    first = program(algorithm)
    assert first == program(algorithm.replace())
    changed = {
        field: program(other(algorithm, field)) != first for field in names_of(type(algorithm), "static")
    }
    assert all(changed.values()), changed
