"""Several agents with observations, actions and rewards of their own, and a learner for each of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax import random

from envs import CartPole, GridWorld
from jaxrl import InputError, registry, train
from jaxrl.algorithm import Algorithm, Episode, check_algorithm, episode_metrics, traced
from jaxrl.algorithms import A2C, DQN, PPO, REINFORCE, SAC, TRPO, DiscreteSAC, QLearning
from jaxrl.analysis.export import export_transitions
from jaxrl.environment import Box, Composite, Discrete, Environment, Wrapper, check_contract
from jaxrl.learning import replay
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.returns import td_target
from jaxrl.learning.rollout import rollout, start_episodes

# Rewards of the row and of the column player. Both defect in the only equilibrium, with 1 each.
DILEMMA = np.float32([[[3, 3], [0, 5]], [[5, 0], [1, 1]]])


class PrisonersDilemma(Environment):
    """Two agents choose at the same time. The second also observes who it is, so their spaces differ."""

    max_steps: int = traced(3)
    num_agents = 2

    @property
    def observation_space(self):
        return Composite({"row": Discrete(1), "column": Box(0.0, 1.0, (2,))})

    @property
    def action_space(self):
        return Composite({"row": Discrete(2), "column": Discrete(2)})

    def reset(self, key):
        return jnp.int32(0)

    def step(self, key, state, action):
        return state + 1, jnp.asarray(DILEMMA)[action["row"], action["column"]], False

    def observe(self, state):
        return {"row": jnp.int32(0), "column": jnp.array([0.0, 1.0])}


class State(struct.PyTreeNode):
    q: dict[str, Any]  # of each agent, [actions]
    episode: Episode


class IndependentQLearning(Algorithm):
    """Each agent learns the values of its own actions from its own reward (Tan 1993)."""

    learning_rate: float = traced(0.1, low=0, high=1)
    epsilon: float = traced(0.2, low=0, high=1)
    steps_per_iteration = 1
    agents = ("row", "column")  # in the order of the rewards

    def init(self, env, key):
        q = {agent: jnp.zeros(env.action_space.parts[agent].n) for agent in self.agents}
        return State(q, Episode.start(env, key))

    def step(self, env, state, key, t, total):
        key_act, key_env = random.split(key)
        action, _ = self.act(env, state, (), state.episode.obs, key_act, explore=True)
        episode, transition = state.episode.step(env, key_env, action)
        q = {}
        for agent, reward in zip(self.agents, transition.reward, strict=True):
            target = td_target(reward, 0.0, transition.terminated, jnp.max(state.q[agent]))
            error = target - state.q[agent][action[agent]]
            q[agent] = state.q[agent].at[action[agent]].add(self.learning_rate * error)
        return state.replace(q=q, episode=episode), episode_metrics(transition)

    def act(self, env, state, memory, obs, key, explore):
        epsilon, keys = self.epsilon if explore else 0.0, random.split(key, len(self.agents))
        choices = zip(self.agents, keys, strict=True)
        return {agent: epsilon_greedy(key, state.q[agent], epsilon) for agent, key in choices}, memory


def test_independent_learners_find_the_equilibrium(monkeypatch):
    monkeypatch.setitem(registry.environments(), "PrisonersDilemma", PrisonersDilemma())
    monkeypatch.setitem(registry.algorithms(), "independent", IndependentQLearning())
    results = train(
        IndependentQLearning(),
        PrisonersDilemma(),
        seeds=8,
        steps=1_500,
        evaluate_every=1_500,
        evaluate_in={"again": PrisonersDilemma()},
    )
    assert results.final().tolist() == [3.0] * 8  # the mean of both agents, over three steps
    q = results.state(results.batches[0]).q
    assert all((values[:, 1] > values[:, 0]).all() for values in q.values())
    assert results.final("eval_return/again").tolist() == [3.0] * 8
    assert results.evaluate(PrisonersDilemma(), episodes=2)["return"].tolist() == [3.0] * 8
    data = results.transitions(5, 6)
    assert data["action/row"].tolist() == data["action/column"].tolist() == [1] * 6
    assert data["reward"].shape == (6, 2)
    with np.load(export_transitions(results.path, 5, 6)) as written:
        assert {*written} == {*data}
        assert (written["obs/row"] == data["obs/row"]).all()


def test_the_contracts_hold_and_rollout_and_replay_carry_the_trees():
    env = PrisonersDilemma()
    check_contract(env)
    check_contract(Wrapper(env=env))
    check_algorithm(IndependentQLearning(), env)

    def act(memory, obs, key):
        assert set(obs) == {"row", "column"}
        return env.action_space.sample(key), memory, None

    episodes = start_episodes(env, random.key(0), 5)
    _, transitions, _ = rollout(env, episodes, random.key(1), 4, act)
    assert transitions.reward.shape == (4, 5, 2)
    actions = np.stack([transitions.action["row"], transitions.action["column"]])
    np.testing.assert_array_equal(transitions.reward, DILEMMA[*actions])
    np.testing.assert_allclose(
        transitions.episode_return[2], transitions.reward[:3].mean(axis=-1).sum(axis=0)
    )
    assert transitions.done[:, 0].tolist() == [False, False, True, False]
    assert transitions.obs["column"].shape == (4, 5, 2)
    ring = replay.write(replay.create(env, 8, 5), transitions.experience, 0)
    batch = replay.read(ring, replay.uniform_segments(ring, random.key(2), 4, batch=6))
    assert batch.reward.shape == (6, 1, 2)
    assert batch.action["row"].shape == (6, 1)


def test_a_composite_space_is_its_parts():
    space = Composite((Discrete(3), {"b": Box(-1.0, 1.0, (2,))}))
    draws = jax.vmap(space.sample)(random.split(random.key(0), 50))
    assert set(np.asarray(draws[0]).tolist()) == {0, 1, 2}
    assert draws[1]["b"].shape == (50, 2)
    assert jax.vmap(space.contains)(draws).all()
    beyond = (jnp.int32(5), {"b": jnp.array([0.0, -3.0])})
    assert not space.contains(beyond)
    assert not space.contains((jnp.int32(1), beyond[1]))
    clipped = space.clip(beyond)
    assert clipped[0] == 2
    np.testing.assert_array_equal(clipped[1]["b"], [0, -1])


class TeamReward(PrisonersDilemma):
    """Its reward is one number, though there are two agents."""

    def step(self, key, state, action):
        return state, 1.0, False


class NoSpace(PrisonersDilemma):
    @property
    def action_space(self):
        return Composite({"row": Discrete(2), "column": 2})


class OneReward(GridWorld):
    """Its reward has an axis too many."""

    def step(self, key, state, action):
        state, reward, terminated = super().step(key, state, action)
        return state, jnp.atleast_1d(reward), terminated


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (TeamReward(), r"TeamReward\.step must return a reward of float32\[2\], got float32\[\]$"),
        (NoSpace(), r"NoSpace\.action_space\['column'\] must be a Discrete or a Box, got 2"),
        (OneReward(), r"OneReward\.step must return a reward of float32\[\], got float32\[1\]$"),
    ],
)
def test_what_breaks_the_contract_is_named(env, message):
    with pytest.raises(InputError, match=f"^{message}"):
        check_contract(env)


@pytest.mark.parametrize(
    "learner",
    [A2C(), DQN(), DiscreteSAC(), PPO(), QLearning(), REINFORCE(), SAC(), TRPO()],
    ids=lambda each: type(each).__name__,
)
def test_learners_of_one_agent_refuse_several(learner):
    name = type(learner).__name__
    with pytest.raises(InputError, match=f"^{name} learns for one agent; PrisonersDilemma has 2$"):
        learner.validate_for(PrisonersDilemma())


class Labelled(Wrapper):
    """The observation comes with a label."""

    @property
    def observation_space(self):
        return Composite((self.env.observation_space, Discrete(2)))

    def observe(self, state):
        return self.env.observe(state), jnp.int32(1)


@pytest.mark.parametrize("learner", [DQN(), PPO(), QLearning()], ids=lambda each: type(each).__name__)
def test_learners_of_single_arrays_refuse_parts(learner):
    message = r"needs observations that are single arrays; those of Labelled\(CartPole\) have parts$"
    with pytest.raises(InputError, match=f"^{type(learner).__name__} {message}"):
        learner.validate_for(Labelled(env=CartPole()))


class Forgetful(IndependentQLearning):
    """Its greedy action lacks the second agent's."""

    def act(self, env, state, memory, obs, key, explore):
        action, memory = super().act(env, state, memory, obs, key, explore)
        return action if explore else {"row": action["row"]}, memory


def test_an_action_without_a_part_is_found():
    with pytest.raises(
        InputError,
        match=r"^Forgetful\.act must return an action of PrisonersDilemma, int32\[\], int32\[\] in",
    ):
        check_algorithm(Forgetful(), PrisonersDilemma())
