"""Search in a known model with legal actions: the environment's own `step` predicts what follows."""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, random

from jaxrl import registry, train
from jaxrl.algorithm import Algorithm, Episode, check_algorithm, episode_metrics, static, traced
from jaxrl.environment import Box, Composite, Discrete, Environment, check_contract
from jaxrl.learning.returns import td_target

GOAL = 6


class Ladder(Environment):
    """Climb from 0 to the goal, a rung or two a step. Every third rung is broken: no action may lead there.

    An illegal action ends the episode with -100.
    """

    max_steps: int = traced(20)

    @property
    def observation_space(self):
        return Composite({"rung": Discrete(GOAL + 1), "legal": Box(0, 1, (3,), jnp.bool_)})

    @property
    def action_space(self):
        return Discrete(3)  # down by one, up by one, up by two

    def reset(self, key):
        return jnp.int32(0)

    def step(self, key, state, action):
        legal = self.legal(state)[action]
        successor = jnp.where(legal, self.reached(state)[action], state)
        return successor, jnp.where(legal, -1.0, -100.0), (successor == GOAL) | ~legal

    def observe(self, state):
        return {"rung": state, "legal": self.legal(state)}

    def reached(self, state: Array) -> Array:
        return state + jnp.array([-1, 1, 2])

    def legal(self, state: Array) -> Array:
        reached = self.reached(state)
        return (reached >= 0) & (reached <= GOAL) & ((reached % 3 != 2) | (reached == GOAL))


class State(struct.PyTreeNode):
    value: Array  # [rungs]
    episode: Episode


class OneStepSearch(Algorithm):
    """Acts greedily with respect to a search of one step in the model, and moves values towards the result."""

    epsilon: float = traced(0.3, low=0, high=1)
    learning_rate: float = traced(0.5, low=0, high=1)
    masked: bool = static(True)
    steps_per_iteration = 1

    def init(self, env, key):
        return State(jnp.zeros(env.observation_space.parts["rung"].n), Episode.start(env, key))

    def step(self, env, state, key, t, total):
        key_act, key_env = random.split(key)
        obs = state.episode.obs
        action, _ = self.act(env, state, (), obs, key_act, explore=True)
        found = jnp.max(self.search(env, state, obs, key_act))
        value = state.value.at[obs["rung"]].add(self.learning_rate * (found - state.value[obs["rung"]]))
        episode, transition = state.episode.step(env, key_env, action)
        return state.replace(value=value, episode=episode), episode_metrics(transition)

    def act(self, env, state, memory, obs, key, explore):
        key_search, key_explore, key_uniform = random.split(key, 3)
        scores = self.search(env, state, obs, key_search)
        uniform = random.categorical(key_uniform, jnp.where(self.mask(obs), 0.0, -jnp.inf))
        explored = explore & (random.uniform(key_explore) < self.epsilon)
        return jnp.where(explored, uniform, jnp.argmax(scores)).astype(jnp.int32), memory

    def search(self, env, state, obs, key):
        """The value of each action after one step of the model, -inf for an illegal one: [actions]."""

        def outcome(action):
            successor, reward, terminated = env.step(key, obs["rung"], action)
            next_value = state.value[env.observe(successor)["rung"]]
            return td_target(reward, 1.0, terminated, next_value)

        scores = jax.vmap(outcome)(jnp.arange(env.action_space.n))
        return jnp.where(self.mask(obs), scores, -jnp.inf)

    def mask(self, obs):
        return obs["legal"] if self.masked else jnp.ones_like(obs["legal"])


def test_search_in_the_model_finds_the_shortest_legal_way(monkeypatch):
    monkeypatch.setitem(registry.environments(), "Ladder", Ladder())
    monkeypatch.setitem(registry.algorithms(), "search", OneStepSearch())
    env = Ladder()
    check_contract(env)
    check_algorithm(OneStepSearch(), env)
    results = train(
        [OneStepSearch(), OneStepSearch(masked=False)], env, seeds=4, steps=400, evaluate_every=400
    )
    assert results.final().tolist() == [-4.0] * 8  # 0, 1, 3, 4, 6
    worst = results.metric("return").min(axis=1)
    assert (worst[results.runs["masked"].to_numpy()] >= -20).all()  # no illegal action was ever tried
    assert (worst[~results.runs["masked"].to_numpy()] < -20).all()
