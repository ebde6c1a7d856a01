"""MemoryChain beside gymnax's port of bsuite's, and what a policy without memory can reach in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.bsuite.memory_chain import MemoryChain as Twin
from jax import lax, random

from envs import MemoryChain
from envs.chains.memory_chain import Chain
from jaxrl.environment import check_contract
from jaxrl.errors import InputError

BITS, LENGTH = 3, 4
ENV = MemoryChain(bits=BITS, length=LENGTH)


def test_every_step_is_that_of_bsuite():
    """Which shows the first observation twice, so an action of ours is one step earlier."""
    twin = Twin(BITS)
    params = twin.default_params.replace(memory_length=LENGTH)

    def beside(key):
        _, theirs = twin.reset_env(key, params)
        ours = Chain(theirs.context, theirs.query, jnp.int32(0))
        actions = random.randint(key, (LENGTH,), 0, 2)
        obs, theirs, *_ = twin.step_env(key, theirs, 0, params)

        def step(carry, action):
            ours, theirs, obs = carry
            seen = ENV.observe(ours), obs
            ours, *here = ENV.step(key, ours, action)
            obs, theirs, *there, _ = twin.step_env(key, theirs, action, params)
            return (ours, theirs, obs), (seen, tuple(zip(here, there, strict=True)))

        return lax.scan(step, (ours, theirs, obs), actions)[1]

    seen, outcomes = jax.device_get(jax.jit(jax.vmap(beside))(random.split(random.key(0), 64)))
    for ours, theirs in (seen, *outcomes):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    rewards, ends = outcomes[0][0], outcomes[1][0]
    assert {*rewards[:, -1]} == {-1, 1}
    np.testing.assert_array_equal(ends.sum(axis=0), [0, 0, 0, 64])
    assert len({tuple(row) for row in seen[0][:, 0, 2:]}) == 2**BITS
    assert {*seen[0][:, -1, 1]} == {0, 1, 2}


def test_a_policy_without_memory_is_right_in_half_of_the_episodes():
    """The last observation says nothing of the bits, which are equally often 0 and 1."""

    @jax.jit
    @jax.vmap
    def last(key):
        state = ENV.reset(key).replace(t=jnp.int32(LENGTH - 1))
        return ENV.observe(state), state.context

    obs, context = last(random.split(random.key(0), 4_000))
    assert (obs[:, 2:] == 0).all()
    assert np.asarray(context).mean() == pytest.approx(0.5, abs=0.02)


def test_the_contract_and_bad_values():
    check_contract(ENV)
    with pytest.raises(InputError, match=r"^MemoryChain\.length must be at least 2, got 1$"):
        MemoryChain(length=1).validate()
    with pytest.raises(InputError, match=r"^MemoryChain\.bits must be at least 1, got 0$"):
        MemoryChain(bits=0).validate()
    with pytest.raises(InputError, match=r"^MemoryChain\.length must be at most max_steps = 1000, got 1001$"):
        MemoryChain(length=1_001).validate()
