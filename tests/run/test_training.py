"""What must hold of every algorithm in the batch engine, and of the engine itself."""

import chex
import jax
import numpy as np
import optax
import pytest
from jax import random

from envs import CartPole, FrozenLake, GridWorld
from jaxrl import registry
from jaxrl.algorithms import PPO, QLearning
from jaxrl.compiled.engine import advance, initialise
from jaxrl.compiled.evaluate import evaluate
from jaxrl.run.loop import advance_chunk
from jaxrl.run.train import train
from jaxrl.study.batch import Batch
from jaxrl.study.study import Run
from tests.lanes import ITERATIONS, SMALL, batch_of, bits, equal, small, start, trained

SEEDS = (3, 1, 4, 15, 9, 2)


@pytest.fixture(params=sorted(SMALL))
def name(request):
    return request.param


def test_every_algorithm_is_covered():
    assert set(SMALL) == set(registry.algorithms())


def test_every_lane_updates_and_every_replay_wraps(name):
    """Or the tests below would compare learners that learn nothing."""
    algorithm, env = small(name)
    batch = batch_of([algorithm] * len(SEEDS), env, SEEDS)
    _, _, before = start(batch)
    after = trained(batch, ITERATIONS)
    if name == "q_learning":
        assert (after.q != before.q).any(axis=(1, 2, 3)).all()
    else:
        assert (optax.tree.get(after.optimiser, "count") >= 3).all()
    assert ITERATIONS * algorithm.steps_per_iteration > getattr(algorithm, "capacity", 0)


def test_state_and_metrics_have_one_entry_a_lane(name):
    algorithm, env = small(name)
    algorithms, envs, state = start(batch_of([algorithm] * len(SEEDS), env, SEEDS))
    chex.assert_tree_shape_prefix(state, (len(SEEDS),))
    state, metrics, finite = advance(algorithms, envs, state, 0, 1, 1)
    chex.assert_tree_shape_prefix(state, (len(SEEDS),))
    chex.assert_shape(jax.tree.leaves(metrics), (len(SEEDS),))
    chex.assert_type(jax.tree.leaves(metrics), float)
    chex.assert_shape(finite, (len(SEEDS),))


@pytest.mark.parametrize("explore", [False, True])
def test_actions_are_elements_of_the_action_space(name, explore):
    algorithm, env = small(name)
    _, _, state = start(batch_of([algorithm], env, [0]))
    lane, obs = jax.tree.map(lambda leaf: leaf[0], state), env.observe(env.reset(random.key(0)))
    action = algorithm.act(env, lane, obs, random.key(1), explore)
    chex.assert_shape(action, env.action_space.shape)
    chex.assert_type(action, env.action_space.dtype)


def test_chunks_do_not_change_a_bit(name):
    algorithm, env = small(name)
    batch = batch_of([algorithm] * len(SEEDS), env, SEEDS)
    whole = trained(batch, ITERATIONS)
    assert not equal(bits(whole), bits(start(batch)[2]))
    assert equal(bits(whole), bits(trained(batch, ITERATIONS, marks=(1, 5, 6))))


def test_metrics_add_up_over_chunks(name):
    algorithm, env = small(name)
    batch = batch_of([algorithm] * len(SEEDS), env, SEEDS)
    algorithms, envs, state = start(batch)
    state, first, _ = advance(algorithms, envs, state, 0, 5, ITERATIONS)
    _, second, _ = advance(algorithms, envs, state, 5, ITERATIONS, ITERATIONS)
    algorithms, envs, state = start(batch)
    _, whole, _ = advance(algorithms, envs, state, 0, ITERATIONS, ITERATIONS)
    for one, two, both in zip(*map(jax.tree.leaves, (first, second, whole)), strict=True):
        np.testing.assert_allclose(one + two, both, rtol=1e-5)


def test_lane_does_not_change_a_bit(name):
    algorithm, env = small(name)
    state = trained(batch_of([algorithm] * len(SEEDS), env, SEEDS), ITERATIONS)
    order = np.array([5, 2, 0, 1, 4, 3])
    permuted = trained(batch_of([algorithm] * len(SEEDS), env, np.array(SEEDS)[order].tolist()), ITERATIONS)
    assert equal(bits(permuted), bits(state, order))


def test_neighbours_do_not_change_a_bit(name):
    algorithm, env = small(name)
    state = trained(batch_of([algorithm] * len(SEEDS), env, SEEDS), ITERATIONS)
    others = [algorithm.replace(learning_rate=0.05 * i) for i in range(1, len(SEEDS))]
    among_others = trained(batch_of([algorithm, *others], env, [3, 70, 71, 72, 73, 74]), ITERATIONS)
    assert equal(bits(among_others, 0), bits(state, 0))
    assert not equal(bits(among_others, 1), bits(state, 1))


def test_a_padded_batch_equals_a_full_one(name):
    algorithm, env = small(name)
    state = trained(batch_of([algorithm] * len(SEEDS), env, SEEDS), ITERATIONS)
    runs = [Run(i, env, algorithm, seed) for i, seed in enumerate(SEEDS[:4])]
    batch = Batch(0, len(SEEDS), tuple(runs))
    assert equal(bits(trained(batch, ITERATIONS), slice(4)), bits(state, slice(4)))


def distinct(array):
    """How many of an array's first axis there are that no other equals."""
    return len(np.unique(np.asarray(array).reshape(len(array), -1), axis=0))


def test_seeds_give_distinct_weights_and_trajectories(name):
    """But for Q-learning's tables, which all start alike; what they become tells its trajectories apart."""
    algorithm, env = small(name)
    batch = batch_of([algorithm] * len(SEEDS), env, SEEDS)
    _, _, initial = start(batch)
    if name == "q_learning":
        assert distinct(initial.q) == 1
        assert distinct(trained(batch, ITERATIONS, total=1_000).q) == len(SEEDS)
        return
    networks = jax.tree_util.tree_leaves_with_path(initial.replace(optimiser=None))
    kernels = [leaf for path, leaf in networks if "kernel" in jax.tree_util.keystr(path)]  # biases start at 0
    assert len(kernels) >= 2
    assert {distinct(kernel) for kernel in kernels} == {len(SEEDS)}
    assert distinct(trained(batch, 2).episodes.obs) == len(SEEDS)


@pytest.mark.parametrize("name", sorted({*SMALL} - {"q_learning"}))  # which has one environment a run
def test_environments_of_one_run_differ(name):
    algorithm, env = small(name)
    obs = trained(batch_of([algorithm] * len(SEEDS), env, SEEDS), 2).episodes.obs[0]
    assert distinct(obs) == len(obs) == algorithm.num_envs > 1


def test_a_run_depends_on_seed_alone_within_a_study(tmp_path):
    """Its place in the study, its batch and its neighbours' hyper-parameters leave its curve as it is."""
    settings = {"steps": 300, "evaluate_every": 100, "width": 4}
    one = train(QLearning(), GridWorld(), seeds=[5, 6, 7, 8], out=tmp_path / "one", **settings)
    two = train(
        [QLearning(learning_rate=0.3), QLearning()],
        GridWorld(),
        seeds=[9, 5, 4],
        out=tmp_path / "two",
        **settings,
    )
    other = two.runs[(two.runs.seed == 5) & (two.runs.learning_rate == 0.1)].run.item()
    curves = [
        results.curves[results.curves.run == run].drop(columns="run").reset_index(drop=True)
        for results, run in ((one, 0), (two, other))
    ]
    assert curves[0].equals(curves[1])


TRACES = []


class Traced(QLearning):
    def step(self, env, state, t, total):
        TRACES.append(type(env))
        return super().step(env, state, t, total)


class OtherLake(FrozenLake):
    """Alike in every field, so that only the class tells its program from FrozenLake's."""

    def successor(self, state, action, outcome):
        successor, reward, terminated = super().successor(state, action, outcome)
        return successor, reward + 1, terminated


def test_only_static_values_trace_again():
    def run(algorithm, env, iterations, marks=()):
        TRACES.clear()
        state = trained(batch_of([algorithm] * 2, env, [0, 1]), iterations, marks=marks)
        return len(TRACES), state

    first, _ = run(Traced(), FrozenLake(), 10)
    assert first > 0
    assert run(Traced(learning_rate=0.7), FrozenLake(), 10)[0] == 0
    assert run(Traced(), FrozenLake(is_slippery=False, max_steps=7), 10)[0] == 0
    assert run(Traced(), FrozenLake(), 37, marks=(3, 4))[0] == 0
    assert run(Traced(double=True), FrozenLake(), 10)[0] == first
    assert run(Traced(), FrozenLake(rows=("SF", "FG")), 10)[0] == first
    assert run(Traced(), OtherLake(), 10)[0] == first


def test_classes_alike_in_every_field_are_different_programs():
    """The structures of two jax dataclasses would compare equal (see jaxrl.config)."""
    assert jax.tree.structure(FrozenLake()) != jax.tree.structure(OtherLake())
    assert jax.tree.structure(FrozenLake()) == jax.tree.structure(FrozenLake(success_rate=0.5))


def test_a_diverging_run_harms_no_neighbour(tmp_path):
    algorithms = [PPO(num_steps=16), PPO(num_steps=16, learning_rate=1e38, max_grad_norm=1e38)]
    settings = {"seeds": 2, "steps": 640, "evaluate_every": 320, "width": 4}
    mixed = train(algorithms, CartPole(), out=tmp_path / "mixed", **settings)
    assert mixed.runs.status.to_list() == ["complete", "complete", "failed", "failed"]
    alone = train(algorithms[0], CartPole(), out=tmp_path / "alone", **settings)
    healthy = mixed.curves[mixed.curves.run < 2].reset_index(drop=True)
    assert healthy.equals(alone.curves)


def test_evaluation_reports_whole_episodes():
    env = FrozenLake(is_slippery=False, max_steps=20)
    algorithm, envs, state = start(batch_of([QLearning()] * 2, env, [0, 1]))
    towards_goal = np.zeros((2, 1, 16, 4), np.float32)
    for cell, action in {0: 1, 4: 1, 8: 2, 9: 1, 13: 2, 14: 2}.items():
        towards_goal[0, 0, cell, action] = 1
    keys = random.split(random.key(0), 2)
    returns, lengths = evaluate(algorithm, envs, state.replace(q=towards_goal), keys, episodes=5)
    assert np.asarray(returns).tolist() == [[1.0] * 5, [0.0] * 5]
    assert np.asarray(lengths).tolist() == [[6] * 5, [20] * 5]


def test_evaluation_episodes_differ_and_leave_training_alone():
    env = CartPole(reset_range=0.2)
    algorithm, envs, state = start(batch_of([PPO(num_steps=16)] * 2, env, [0, 1]))
    before = bits(state)
    returns, _ = evaluate(algorithm, envs, state, random.split(random.key(0), 2), episodes=16)
    assert all(len(np.unique(lane)) > 2 for lane in np.asarray(returns))
    assert not np.array_equal(*np.asarray(returns))
    assert equal(before, bits(state))


def test_exploring_evaluation_differs_from_greedy():
    algorithm, envs, state = start(batch_of([PPO(num_steps=16)] * 2, CartPole(), [0, 1]))
    keys = random.split(random.key(0), 2)
    greedy, _ = evaluate(algorithm, envs, state, keys, episodes=32)
    explored, _ = evaluate(algorithm, envs, state, keys, episodes=32, explore=True)
    assert not np.array_equal(greedy, explored)


def test_evaluations_of_one_policy_draw_fresh_episodes(tmp_path):
    """With a learning rate of 0 only the keys of evaluation differ between checkpoints."""
    results = train(
        PPO(num_steps=16, learning_rate=0.0),
        CartPole(reset_range=0.2),
        seeds=2,
        steps=640,
        evaluate_every=128,
        out=tmp_path / "frozen",
    )
    evaluations = results.metric("eval_return")
    assert (evaluations.nunique(axis=1) > 2).all()


def test_ppo_compiles_once_for_all_traced_values(tmp_path):
    def compilations():
        return advance._cache_size(), evaluate._cache_size(), initialise._cache_size()

    def run(name, algorithm, env, **settings):
        train(algorithm, env, seeds=2, evaluation_episodes=2, out=tmp_path / name, **settings)
        return compilations()

    algorithm = PPO(num_steps=16, minibatches=2)
    first = run("one", algorithm, CartPole(), steps=640, evaluate_every=128)
    changed = algorithm.replace(learning_rate=1e-3, clip=0.1, entropy_coefficient=0.0)
    assert (
        run("two", changed, CartPole(pole_length=1.0, max_steps=9), steps=1_000, evaluate_every=77) == first
    )
    assert run("three", algorithm.replace(epochs=1), CartPole(), steps=640)[0] == first[0] + 1


def test_long_chunks_lose_no_digits():
    """Metrics are added in float64 between calls of a limited length."""
    algorithm, envs, state = start(batch_of([QLearning(epsilon_start=0.05)] * 2, GridWorld(), [0, 1]))
    _, metrics, _ = advance_chunk(advance, algorithm, envs, state, 0, 200_000, 200_000)
    total, weight = metrics["epsilon"]
    assert (weight == 200_000).all()
    np.testing.assert_allclose(total / weight, 0.05, rtol=3e-4)  # a float32 sum of all is 2e-3 off
