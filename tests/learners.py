"""Algorithms as small as can be, and environments with an answer to them: each shows one part of the contract."""

import contextlib

import jax.numpy as jnp
import pytest
from jax import Array, nn, random

from jaxrl import registry
from jaxrl.algorithm import Algorithm, mean_metrics
from jaxrl.algorithms import QLearning
from jaxrl.config import Shared, shared, static, traced
from jaxrl.environment import FiniteEnvironment, Wrapper


class Idle(Algorithm):
    """Counts its iterations, and always does the same."""

    action: float = traced(0.0)

    @property
    def steps_per_iteration(self) -> int:
        return 1

    def init(self, env, key):
        return {"count": jnp.int32(0)}

    def step(self, env, state, key, t, total):
        return {"count": state["count"] + 1}, {}

    def act(self, env, state, memory, obs, key, explore):
        space = env.action_space
        return jnp.full(space.shape, self.action).astype(space.dtype), memory


class Counting(Idle):
    """Remembers how many steps of the episode it has seen, and does as many."""

    def memory(self, env):
        return {"steps": jnp.int32(0)}

    def act(self, env, state, memory, obs, key, explore):
        return memory["steps"] % env.num_actions, {"steps": memory["steps"] + 1}


class Cloning(Algorithm):
    """Imitates a data set of observations and actions, both numbers: a table, by stochastic gradient descent."""

    learning_rate: float = traced(0.5, low=0)
    batch_size: int = static(16, low=1)
    data: Shared = shared("obs and action: [n] int32 each")

    @property
    def steps_per_iteration(self) -> int:
        return 1

    def init(self, env, key):
        return 0.01 * random.normal(key, (env.num_states, env.num_actions))

    def step(self, env, state, key, t, total):
        rows = random.randint(key, (self.batch_size,), 0, len(self.data["obs"]))
        obs, action = self.data["obs"][rows], self.data["action"][rows]
        surprise = nn.one_hot(action, env.num_actions) - nn.softmax(state[obs])
        loss = -jnp.mean(jnp.take_along_axis(nn.log_softmax(state[obs]), action[:, None], 1))
        state = state.at[obs].add(self.learning_rate * surprise / self.batch_size)
        return state, mean_metrics(loss=loss)

    def act(self, env, state, memory, obs, key, explore):
        return jnp.argmax(state[obs]), memory


class Diverging(QLearning):
    """Its table holds no numbers any more from an iteration on."""

    lasts: int = traced(10**6)

    def step(self, env, state, key, t, total):
        state, metrics = super().step(env, state, key, t, total)
        return state.replace(q=jnp.where(t < self.lasts, state.q, jnp.nan)), metrics


class Paying(FiniteEnvironment):
    """One state and one step, which pays what a table says of the action."""

    rewards: Shared = shared("of: [num_actions] float32")
    factor: float = traced(1.0)
    max_steps: int = traced(1)

    @property
    def num_states(self) -> int:
        return 1

    @property
    def num_actions(self) -> int:
        return len(self.rewards["of"])

    def initial(self):
        return jnp.ones(1)

    def successor(self, state, action, outcome):
        return state, self.factor * self.rewards["of"][action], jnp.bool_(True)


class Rising(FiniteEnvironment):
    """Episodes start at a level, which rises over the run from 0 to 10 and is the reward of each step."""

    level: float = traced(0.0)
    max_steps: int = traced(2)

    def at(self, t: Array, total: Array):
        return self.replace(level=10 * t / total)

    @property
    def num_states(self) -> int:
        return 11

    @property
    def num_actions(self) -> int:
        return 2

    def initial(self):
        return nn.one_hot(jnp.int32(self.level), 11)

    def successor(self, state, action, outcome):
        return state, jnp.float32(self.level), jnp.bool_(False)


@contextlib.contextmanager
def registered():
    """Until the block ends, a results folder may name these classes."""
    algorithms = {"cloning": Cloning(), "counting": Counting(), "diverging": Diverging(), "idle": Idle()}
    environments = {"Paying": Paying(), "Rising": Rising(), "Wrapped": Wrapper(env=Paying())}
    with pytest.MonkeyPatch.context() as patch:
        for name, algorithm in algorithms.items():
            patch.setitem(registry.algorithms(), name, algorithm)
        for name, environment in environments.items():
            patch.setitem(registry.environments(), name, environment)
        yield
