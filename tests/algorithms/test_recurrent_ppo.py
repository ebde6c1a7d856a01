"""PPO with a network that remembers: a task that needs memory, and the sequences that it learns from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from envs import CartPole, Pendulum
from jaxrl import InputError, registry, train
from jaxrl.algorithms import DQN, PPO, REINFORCE, SAC, TRPO, DiscreteSAC
from jaxrl.learning.check import trace_algorithm
from jaxrl.learning.networks import GRU, LSTM, MLP, Attention
from jaxrl.random.generators import DEFAULT, GENERATORS
from jaxrl.run.reproduce import replay
from jaxrl.study.study import make_study
from tests.lanes import batch_of, bits, equal, trained
from tests.memory_tasks import Recall

ATTENTION = Attention(units=8, heads=2, window=4, torso=MLP(hidden=(8,)))
KEY = random.key(5, impl=GENERATORS[DEFAULT])
SMALL = PPO(
    num_envs=4,
    num_steps=10,  # no multiple of an episode's three steps
    minibatches=2,
    epochs=2,
    learning_rate=1e-2,
    anneal_learning_rate=False,
    entropy_coefficient=0.0,
    network=GRU(units=8, torso=MLP(hidden=(8,))),
)


@pytest.fixture(scope="module")
def remembered(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.environments(), "Recall", Recall())
        learner = SMALL.replace(num_envs=16)
        yield train(
            [learner, learner.replace(network=MLP(hidden=(8, 8)))],
            Recall(),
            seeds=16,
            steps=160 * 60,
            evaluate_every=160 * 60,
            evaluation_episodes=64,
            out=tmp_path_factory.mktemp("memory") / "study",
        )


def test_ppo_recalls_with_a_memory_and_guesses_without(remembered):
    """A seed or two of sixteen may not have learned yet; which ones depends on jax's version."""
    final, network = remembered.final().to_numpy(), remembered.runs["network"].to_numpy()
    assert (final[network == "gru"] > 0.95).sum() >= 13
    assert 0.3 < final[network == "mlp"].mean() < 0.7
    assert final[network == "mlp"].max() < 0.95


def test_a_recurrent_run_is_replayed_and_its_policy_remembers(remembered):
    run = int(remembered.runs.index[remembered.runs["network"] == "gru"][0])
    assert replay(remembered, run).first is None
    policy, cues = remembered.policy(run), np.array([1, 2])
    _, memory = policy.predict(cues)
    for _ in range(2):
        action, memory = policy.predict(np.zeros(2, int), memory, np.zeros(2, bool))
    np.testing.assert_array_equal(action, cues - 1)


@pytest.mark.parametrize(
    ("network", "env"),
    [(SMALL.network, Recall()), (ATTENTION, Pendulum(max_steps=7))],
    ids=["gru", "attention"],
)
def test_the_update_sees_what_the_rollout_saw(network, env):
    """The third rollout begins within episodes. Unrolled from its true memory, nothing has changed yet."""
    learner = SMALL.replace(network=network)

    @jax.jit
    def run(key):
        def iterate(t, state):
            return learner.step(env, state, random.fold_in(key, t), t, 10)[0]

        state = lax.fori_loop(0, 2, iterate, learner.init(env, key))
        agent = learner.agent(env)
        _, transitions, drawn = agent.collect(state, key, learner.num_steps)
        _, _, samples = agent.samples(state, transitions, drawn, learner.gae_lambda)
        memory = state.episodes.memory, state.critic_memory
        _, metrics = learner.loss(state.params, env, memory, samples)
        _, forgetful = learner.loss(state.params, env, jax.tree.map(jnp.zeros_like, memory), samples)
        values = agent.networks.unrolled(state.params, memory, samples.done, samples.x)[1]
        return state, samples, values, metrics, forgetful

    state, samples, values, metrics, forgetful = jax.device_get(run(KEY))
    assert samples.done.shape == (4, 10)
    assert samples.done[:, :-1].any(axis=1).all()
    assert not (state.episodes.episode_length == 0).all()
    np.testing.assert_allclose(values, samples.value, rtol=1e-5, atol=1e-5)
    assert metrics["approx_kl"] == pytest.approx(0, abs=1e-6)
    assert metrics["clip_fraction"] == 0
    assert forgetful["approx_kl"] > 1e-6


def test_the_critics_memory_goes_on_where_the_rollout_ended():
    """A run of two rollouts has the values of one rollout of both, as long as nothing is learned."""
    env, still = Recall(), SMALL.replace(learning_rate=0.0)

    @jax.jit
    def run(key):
        state = still.init(env, key)
        after, _ = still.step(env, state, random.fold_in(key, 0), 0, 10)
        key_rollouts = [random.split(random.fold_in(key, t))[0] for t in range(2)]
        agent = still.agent(env)
        first = agent.collect(state, key_rollouts[0], still.num_steps)[1]
        second = agent.collect(after, key_rollouts[1], still.num_steps)[1]
        both = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), first, second)
        networks, x = agent.networks, agent.input(state.scales, both.obs)
        whole, *_ = networks.values_of_rollout(state.params, state.critic_memory, both.done, x, x)
        part, *_ = networks.values_of_rollout(state.params, after.critic_memory, second.done, x[10:], x[10:])
        return whole[10:], part, both.done

    whole, part, done = jax.device_get(run(KEY))
    np.testing.assert_allclose(part, whole, rtol=1e-6)
    assert not done[9].all()  # some sequences go on


def test_the_value_of_a_truncated_step_is_that_of_its_true_successor():
    """It is seen with the memory of the episode that was cut, not with a fresh one."""
    env = Pendulum(max_steps=4)

    @jax.jit
    def run(key):
        state, agent = SMALL.init(env, key), SMALL.agent(env)
        _, transitions, _ = agent.collect(state, key, SMALL.num_steps)
        x, next_x = (agent.input(state.scales, obs) for obs in (transitions.obs, transitions.next_obs))
        never = jnp.zeros_like(transitions.done)
        memory = state.critic_memory
        _, found, _ = agent.networks.values_of_rollout(state.params, memory, transitions.done, x, next_x)
        longer = jnp.concatenate([x[:4], next_x[3:4]])
        expected, *_ = agent.networks.values_of_rollout(state.params, memory, never[:5], longer, longer)
        return transitions.truncated, found[3], expected[4]

    truncated, found, expected = jax.device_get(run(KEY))
    assert truncated[3].all()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bits_are_independent_of_lane_and_neighbours():
    """A recurrent unit over attention has the memories of both."""
    env, seeds = CartPole(max_steps=15), [3, 4, 5, 6]
    learner = SMALL.replace(network=GRU(units=8, torso=ATTENTION))
    learners = [learner.replace(learning_rate=1e-3 * seed) for seed in seeds]
    state = trained(batch_of(learners, env, seeds), 4)
    moved = trained(batch_of([*learners[2:], learners[0], learners[2]], env, [5, 6, 3, 9]), 4)
    assert equal(bits(state, 2), bits(moved, 0))
    assert equal(bits(state, 0), bits(moved, 2))
    assert not equal(bits(state, 0), bits(state, 1))


@pytest.mark.parametrize(
    ("name", "network", "shapes"),
    [
        ("CartPole-v1", GRU(), [(4, 64)]),
        ("FrozenLake-v1", LSTM(), [(4, 64)] * 2),
        ("Pendulum-v1", Attention(), [(4, 16, 4, 16), (4, 16, 4, 16), (4,)]),
        ("gymnax:Breakout-MinAtar", Attention(window=1), [(4, 1, 4, 16), (4, 1, 4, 16), (4,)]),
    ],
    ids=["gru", "lstm", "attention", "images"],
)
def test_the_contract_holds(name, network, shapes):
    env, learner = registry.environment(name), PPO(network=network)
    learner.validate_for(env)
    state, _ = trace_algorithm(learner, env)
    assert [leaf.shape for leaf in jax.tree.leaves(state.episodes.memory)] == shapes


def test_minibatches_are_made_of_environments():
    learner = PPO(network=GRU(), num_envs=6, minibatches=4)
    learner.validate()
    with pytest.raises(InputError, match=r"^PPO\.minibatches must divide num_envs = 6, got 4$"):
        make_study(learner, CartPole(), seeds=1, steps=10_000)
    make_study(learner.replace(network=MLP()), CartPole(), seeds=1, steps=10_000)


@pytest.mark.parametrize(
    ("learner", "env"),
    [
        (DQN(), CartPole()),
        (DiscreteSAC(), CartPole()),
        (REINFORCE(), CartPole()),
        (SAC(), Pendulum()),
        (TRPO(), CartPole()),
    ],
    ids=lambda each: type(each).__name__,
)
def test_learners_without_memory_refuse_a_network_that_has_one(learner, env):
    name = type(learner).__name__
    with pytest.raises(
        InputError, match=f"^{name} cannot use a network with memory such as GRU; a2c, ppo and pqn can$"
    ):
        make_study(learner.replace(network=GRU()), env, seeds=1, steps=10_000)
