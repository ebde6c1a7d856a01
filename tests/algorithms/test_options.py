"""No option of these algorithms does nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole, Pendulum
from jaxrl.algorithms import A2C, DQN, PQN, REINFORCE, TD3, TRPO
from jaxrl.config import names_of
from jaxrl.learning.bonuses import ICM
from jaxrl.learning.networks import MLP
from jaxrl.learning.sampling import Prioritised
from jaxrl.learning.value_heads import CategoricalReturn
from tests.lanes import batch_of, bits, trained

NETWORK = MLP(hidden=(4,))
OFF_POLICY = {"num_envs": 2, "warmup": 4, "batch_size": 4, "capacity": 40, "network": NETWORK}
LEARNERS = {
    "a2c": A2C(num_envs=2, network=NETWORK),
    "dqn": DQN(
        **OFF_POLICY,
        target_period=8,
        head=CategoricalReturn(),
        sampling=Prioritised(),
        bonus=ICM(network=NETWORK),
    ),
    "pqn": PQN(num_envs=2, num_steps=8, minibatches=2, epochs=1, network=NETWORK),
    "reinforce": REINFORCE(num_envs=2, num_steps=5, episodes=2, network=NETWORK),
    "td3": TD3(**OFF_POLICY),
    "trpo": TRPO(num_steps=8, minibatches=2, epochs=1, max_kl=0.3, network=NETWORK),
}
IDLE = {"dqn": ["epsilon_decay"]}  # of another schedule
OTHER = {
    "batch_size": 5,
    "capacity": 80,
    "cg_damping": 0.01,
    "cg_iterations": 1,
    "discount": 0.5,
    "entropy_coefficient": 0.1,
    "episodes": 4,
    "epsilon_schedule": "exponential",
    "epochs": 2,
    "gae_lambda": 0.5,
    "line_search_decay": 0.1,
    "line_search_steps": 1,
    "max_grad_norm": 1e-3,
    "max_kl": 0.01,
    "minibatches": 4,
    "n_step": 2,
    "num_envs": 4,
    "num_steps": 10,
    "policy_delay": 3,
    "target_period": 2,
    "updates": 2,
    "value_coefficient": 2.0,
    "warmup": 6,
    "warmup_hold": 2,
}


def environment(name):
    return CartPole(max_steps=6) if name in ("dqn", "pqn") else Pendulum(max_steps=6)


def traced_fields(algorithm):
    """The names of the traced fields of an algorithm and of its components."""
    parts = {name: getattr(algorithm, name) for name in names_of(type(algorithm), "component")}
    inner = [f"{name}.{field}" for name, part in parts.items() for field in names_of(type(part), "traced")]
    return [*names_of(type(algorithm), "traced"), *inner]


def other(algorithm, field):
    """The algorithm with another value of a field."""
    value = algorithm.parameters()[field]
    flipped = not value if isinstance(value, bool) else 0.01
    return algorithm.replace(**{field: OTHER.get(field, flipped)})


@pytest.mark.parametrize("name", LEARNERS)
def test_every_traced_option_changes_what_is_learned(name):
    algorithm = LEARNERS[name]
    fields = traced_fields(algorithm)
    lanes = [algorithm, *(other(algorithm, field) for field in fields)]
    state = trained(batch_of(lanes, environment(name), [1] * len(lanes)), 30 if name == "dqn" else 8)
    params = [bits(state.learned if name == "td3" else state.params, lane) for lane in range(len(lanes))]
    same = [
        field
        for field, found in zip(fields, params[1:], strict=True)
        if all(np.array_equal(a, b) for a, b in zip(found, params[0], strict=True))
    ]
    assert same == IDLE.get(name, [])


@pytest.mark.parametrize("name", LEARNERS)
def test_every_static_option_changes_what_is_computed(name):
    algorithm, env = LEARNERS[name], environment(name)

    def program(algorithm):
        key, t = random.key(0), jnp.int32(0)
        state = jax.eval_shape(lambda: algorithm.init(env, key))
        return str(jax.make_jaxpr(lambda state: algorithm.step(env, state, key, t, t))(state))

    first = program(algorithm)
    assert first == program(algorithm.replace())
    changed = {
        field: program(other(algorithm, field)) != first for field in names_of(type(algorithm), "static")
    }
    assert all(changed.values()), changed
