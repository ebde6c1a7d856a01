"""What the contract can express: a policy that remembers, and a learner that never acts while it learns."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax import random

from envs import GridWorld
from jaxrl import load, registry, train
from jaxrl.algorithm import Algorithm, mean_metrics, num_actions, num_observations, shared, traced
from jaxrl.algorithms import QLearning
from jaxrl.errors import InputError
from jaxrl.learning.returns import td_target
from jaxrl.run.reproduce import replay
from tests.memory_tasks import Recall, RecurrentReinforce


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The names by which results folders find these classes again."""
    registry.environments()["Recall"] = Recall()
    registry.algorithms()["recurrent_reinforce"] = RecurrentReinforce()
    registry.algorithms()["offline_q"] = OfflineQ()
    yield
    del registry.environments()["Recall"]
    del registry.algorithms()["recurrent_reinforce"], registry.algorithms()["offline_q"]


@pytest.fixture(scope="module")
def remembered(tmp_path_factory):
    learners = [RecurrentReinforce(), RecurrentReinforce(units=0)]
    return train(
        learners,
        Recall(),
        seeds=16,
        steps=192 * 150,
        evaluate_every=192 * 150,
        evaluation_episodes=64,
        out=tmp_path_factory.mktemp("memory") / "study",
    )


def test_a_policy_with_memory_recalls_what_it_saw_and_one_without_guesses(remembered):
    final = remembered.final().groupby(remembered.runs["units"].to_numpy()).mean()
    assert final[8] > 0.95
    assert 0.3 < final[0] < 0.7


def test_a_run_with_memory_is_replayed_bit_for_bit(remembered):
    assert replay(remembered, 3).first is None


def test_a_loop_in_plain_python_carries_the_memory(remembered):
    policy = remembered.policy(0)
    obs = np.array([1, 2])
    action, memory = policy.predict(obs, None, np.ones(2, bool))
    for _ in range(2):
        action, memory = policy.predict(np.zeros(2, int), memory, np.zeros(2, bool))
    np.testing.assert_array_equal(action, obs - 1)
    forgotten, _ = policy.predict(np.zeros(2, int), memory, np.ones(2, bool))
    assert forgotten[0] == forgotten[1]
    one, state = policy.predict(1)
    assert one.shape == ()
    assert state.shape == policy.memory.shape == (8,)


def test_the_pure_policy_can_be_jitted_and_scanned(remembered):
    policy = remembered.policy(0)

    @jax.jit
    def answer(cue):
        def step(memory, obs):
            action, memory = policy.act(memory, obs, random.key(0))
            return memory, action

        return jax.lax.scan(step, policy.memory, jnp.stack([cue, 0, 0]))[1][-1]

    assert jax.vmap(answer)(jnp.array([1, 2])).tolist() == [0, 1]


def test_transitions_and_evaluation_carry_the_memory(remembered):
    transitions = remembered.transitions(0, 30)
    assert transitions["reward"][transitions["terminated"]].tolist() == [1.0] * 10
    table = remembered.evaluate(Recall(), episodes=8, runs=[0])
    assert table["return"].tolist() == [1.0]


class Table(struct.PyTreeNode):
    q: Any  # [states, actions]


class OfflineQ(Algorithm):
    """Q-learning on transitions drawn from a data set; an iteration counts as one environment step."""

    learning_rate: float = traced(0.5, low=0, high=1)
    data: Any = shared("transitions: obs, action, reward, next_obs, terminated")

    @property
    def steps_per_iteration(self):
        return 1

    def init(self, env, key):
        return Table(jnp.zeros((num_observations(self, env), num_actions(self, env))))

    def step(self, env, state, key, t, total):
        row = random.randint(key, (32,), 0, self.data["reward"].shape[0])
        obs, action, reward, next_obs, terminated = (
            self.data[name][row] for name in ("obs", "action", "reward", "next_obs", "terminated")
        )
        target = td_target(reward, 0.99, terminated, state.q[next_obs].max(axis=1))
        error = target - state.q[obs, action]
        q = state.q.at[obs, action].add(self.learning_rate * error / 32)
        return state.replace(q=q), mean_metrics(td_error=jnp.abs(error))

    def act(self, env, state, memory, obs, key, explore):
        return jnp.argmax(state.q[obs]), memory


def test_a_learner_finds_the_optimum_from_a_data_set_alone(tmp_path):
    world = GridWorld()
    behaviour = train(QLearning(epsilon_end=1.0), world, seeds=1, steps=2_000, out=tmp_path / "behaviour")
    data = behaviour.transitions(0, 5_000, explore=True)
    results = train(
        OfflineQ(data=data),
        world,
        seeds=4,
        steps=8_000,
        evaluate_every=8_000,
        evaluation_episodes=2,
        out=tmp_path / "offline",
    )
    assert (results.final() >= world.solved_return).all()
    again = load(tmp_path / "offline")
    assert replay(again, 2).first is None
    q = again.state(again.batches[0]).q
    assert len({np.asarray(table).tobytes() for table in q}) == 4


def test_a_learner_without_its_data_is_refused_in_one_sentence():
    with pytest.raises(
        InputError, match=r"^OfflineQ\.data must be a mapping from names to arrays, got Shared\(\)$"
    ):
        train(OfflineQ(), GridWorld(), seeds=1, steps=10)
