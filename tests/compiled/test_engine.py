"""What must hold of every algorithm in the batch engine, and of the engine itself."""

import itertools
import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random

from envs import CartPole, FrozenLake, GridWorld
from jaxrl import grid, registry
from jaxrl.algorithms import PPO, QLearning
from jaxrl.algorithms.baselines import Baseline
from jaxrl.compiled.engine import PRECISIONS, advance, engine_for, initialise
from jaxrl.compiled.mesh import lane_mesh
from jaxrl.environment import traced
from jaxrl.run.loop import advance_chunk
from jaxrl.study.batch import Batch
from jaxrl.study.study import Chunk, Run
from tests.lanes import (
    ITERATIONS,
    MORE,
    SMALL,
    batch_of,
    bits,
    engine,
    equal,
    equations,
    small,
    start,
    trained,
)
from tests.learners import Cloning, Idle, Rising

SEEDS = (3, 1, 4, 15, 9, 2)


@pytest.fixture(params=sorted(SMALL))
def name(request):
    return request.param


def batch_with(name, seeds=SEEDS):
    """A batch of one of the small algorithms."""
    algorithm, env = small(name)
    return batch_of([algorithm] * len(seeds), env, seeds)


def advanced(batch, *bounds, total=ITERATIONS):
    """The state after the last of some bounds, and the metrics between each two."""
    (algorithm, env, keys, shared), state = start(batch, total)
    found = []
    for begin, end in itertools.pairwise(bounds):
        state, metrics, _ = engine().advance(algorithm, env, state, keys.steps, shared, begin, end, total)
        found.append(metrics)
    return state, found


def test_every_algorithm_is_covered():
    """By itself, or as settings of one that is. Baselines learn nothing."""
    covered = (Baseline, *(type(algorithm) for algorithm, _ in (SMALL | MORE).values()))
    assert all(isinstance(algorithm, covered) for algorithm in registry.algorithms().values())


def test_every_lane_updates_and_every_replay_wraps(name):
    """Or the tests below would compare learners that learn nothing."""
    algorithm, _ = small(name)
    _, before = start(batch_with(name))
    after = trained(batch_with(name), ITERATIONS)
    if name == "q_learning":
        assert (after.q != before.q).any(axis=(1, 2, 3)).all()
    else:
        assert (optax.tree.get(after.optimiser, "count") >= 3).all()
    assert ITERATIONS * algorithm.steps_per_iteration > getattr(algorithm, "capacity", 0)


def test_state_and_metrics_have_one_entry_a_lane(name):
    (algorithm, env, keys, shared), state = start(batch_with(name))
    chex.assert_tree_shape_prefix(state, (len(SEEDS),))
    state, metrics, finite = engine().advance(algorithm, env, state, keys.steps, shared, 0, 1, 1)
    chex.assert_tree_shape_prefix(state, (len(SEEDS),))
    chex.assert_shape(jax.tree.leaves(metrics), (len(SEEDS),))
    chex.assert_type(jax.tree.leaves(metrics), float)
    chex.assert_shape(finite, (len(SEEDS),))
    assert finite.all()


@pytest.mark.parametrize("explore", [False, True])
def test_actions_are_elements_of_the_action_space(name, explore):
    algorithm, env = small(name)
    _, state = start(batch_with(name))
    lane = jax.tree.map(lambda leaf: leaf[0], state)
    act = jax.jit(partial(algorithm.act, env, explore=explore))
    for seed in range(5):
        obs = env.observe(env.reset(random.key(seed)))
        action, _ = act(state=lane, memory=algorithm.memory(env), obs=obs, key=random.key(seed))
        chex.assert_shape(action, env.action_space.shape)
        chex.assert_type(action, env.action_space.dtype)
        assert env.action_space.contains(action)


def test_chunks_do_not_change_a_bit(name):
    whole = trained(batch_with(name), ITERATIONS)
    assert not equal(bits(whole), bits(start(batch_with(name))[1]))
    assert equal(bits(whole), bits(trained(batch_with(name), ITERATIONS, marks=(1, 5, 6))))


def test_one_compilation_serves_all_chunks_budgets_and_traced_values(name):
    algorithm, env = small(name)
    trained(batch_with(name), ITERATIONS)
    before = advance._cache_size(), initialise._cache_size()
    others = [algorithm.replace(discount=share / 10) for share in range(len(SEEDS))]
    trained(batch_of(others, env.replace(max_steps=7), SEEDS), 7, total=1_000, marks=(3, 4))
    assert (advance._cache_size(), initialise._cache_size()) == before


def test_metrics_add_up_over_chunks(name):
    _, (first, second) = advanced(batch_with(name), 0, 5, ITERATIONS)
    _, (whole,) = advanced(batch_with(name), 0, ITERATIONS)
    for one, two, both in zip(*map(jax.tree.leaves, (first, second, whole)), strict=True):
        np.testing.assert_allclose(one + two, both, rtol=1e-5)


def test_lane_does_not_change_a_bit(name):
    state = trained(batch_with(name), ITERATIONS)
    order = np.array([5, 2, 0, 1, 4, 3])
    permuted = trained(batch_with(name, np.array(SEEDS)[order].tolist()), ITERATIONS)
    assert equal(bits(permuted), bits(state, order))


def test_neighbours_do_not_change_a_bit(name):
    """Others of the same program, one of which diverges."""
    algorithm, env = small(name)
    state = trained(batch_with(name), ITERATIONS)
    others = [algorithm.replace(learning_rate=rate) for rate in (0.05, 0.1, 0.15, 0.2)]
    diverging = algorithm.replace(learning_rate=float("nan"))
    among_others = trained(
        batch_of([algorithm, *others, diverging], env, [3, 70, 71, 72, 73, 74]), ITERATIONS
    )
    assert equal(bits(among_others, 0), bits(state, 0))
    assert not equal(bits(among_others, 1), bits(state, 1))
    numbers = [leaf for leaf in bits(among_others, -1) if leaf.dtype == np.float32]
    assert any(np.isnan(leaf).any() for leaf in numbers)


def test_a_padded_batch_equals_a_full_one(name):
    algorithm, env = small(name)
    state = trained(batch_with(name), ITERATIONS)
    runs = [Run(i, env, algorithm, seed) for i, seed in enumerate(SEEDS[:4])]
    batch = Batch(0, len(SEEDS), tuple(runs))
    assert equal(bits(trained(batch, ITERATIONS), slice(4)), bits(state, slice(4)))


def distinct(array):
    """How many of an array's first axis there are that no other equals."""
    return len(np.unique(np.asarray(array).reshape(len(array), -1), axis=0))


def test_seeds_give_distinct_weights_and_trajectories(name):
    """But for Q-learning's tables, which all start alike; what they become tells its trajectories apart."""
    _, initial = start(batch_with(name))
    if name == "q_learning":
        assert distinct(initial.q) == 1
        assert distinct(trained(batch_with(name), ITERATIONS, total=1_000).q) == len(SEEDS)
        return
    networks = initial.learned if hasattr(initial, "learned") else initial.params
    networks = jax.tree_util.tree_leaves_with_path(networks)
    kernels = [leaf for path, leaf in networks if "kernel" in jax.tree_util.keystr(path)]  # biases start at 0
    assert len(kernels) >= 2
    assert {distinct(kernel) for kernel in kernels} == {len(SEEDS)}
    assert distinct(trained(batch_with(name), 2).episodes.obs) == len(SEEDS)


@pytest.mark.parametrize("name", sorted({*SMALL} - {"q_learning"}))  # which has one environment a run
def test_environments_of_one_run_differ(name):
    algorithm, _ = small(name)
    obs = trained(batch_with(name), 2).episodes.obs[0]
    assert distinct(obs) == len(obs) == algorithm.num_envs > 1


class Keeping(Idle):
    """Its state is the key of its start and those of all iterations."""

    def init(self, env, key):
        return {"init": random.key_data(key), "steps": jnp.zeros((ITERATIONS, 2), jnp.uint32)}

    def step(self, env, state, key, t, total):
        return state | {"steps": state["steps"].at[t].set(random.key_data(key))}, {}


def test_each_iteration_has_a_key_that_depends_on_seed_and_number_alone():
    batch = batch_of([Keeping()] * 3, GridWorld(), [7, 5, 7])
    keys = batch.lanes().keys
    state = trained(batch, ITERATIONS)
    assert equal(bits(state, 0), bits(state, 2))
    for lane in range(2):
        expected = [random.fold_in(keys.steps[lane], t) for t in range(ITERATIONS)]
        assert np.array_equal(state["steps"][lane], random.key_data(jnp.stack(expected)))
        assert np.array_equal(state["init"][lane], random.key_data(keys.init[lane]))
    assert equal(bits(state), bits(trained(batch, ITERATIONS, total=1_000, marks=(1, 2, 9))))
    everything = [random.key_data(each) for each in (keys.init[:2], keys.steps[:2], keys.evaluation[:2])]
    assert distinct(np.concatenate([*everything, *state["steps"][:2]])) == 3 * 2 + 2 * ITERATIONS


def test_an_iteration_happens_in_the_environment_of_its_time():
    """Episodes of two steps: the first is started with the level of the iteration before."""
    batch = batch_of([QLearning()], Rising(), [0])
    state, metrics = advanced(batch, 0, 1, 7, ITERATIONS)
    assert start(batch)[1].episode.state == 0
    assert state.episode.state == 10 * (ITERATIONS - 1) // ITERATIONS
    steps = [10 * t / ITERATIONS for t in range(ITERATIONS)]
    for (begin, end), chunk in zip([(1, 7), (7, ITERATIONS)], metrics[1:], strict=True):
        total, count = chunk["return"]
        ended = [sum(steps[t - 1 : t + 1]) for t in range(begin, end) if t % 2]
        assert (total.item(), count.item()) == (pytest.approx(sum(ended), rel=1e-5), len(ended))


rng = np.random.default_rng(0)
SIZE = 611  # of a data set: a number that occurs nowhere else
DATA = {"obs": rng.integers(0, 16, SIZE), "action": rng.integers(0, 4, SIZE)}


class Constant(Cloning):
    """The same learner, whose data set is part of its code."""

    @property
    def data(self):
        return {name: jnp.asarray(array) for name, array in DATA.items()}


def test_shared_arrays_are_handed_to_the_program_once():
    """They have no axis of lanes, nothing that is made of all of them has one, and they are no constant."""
    (algorithm, env, keys, shared), state = start(batch_of([Cloning(data=DATA)] * 2, FrozenLake(), [0, 1]))
    lowered = advance.lower(algorithm, env, state, keys.steps, shared, 0, 5, 10)
    shapes = [leaf.shape for leaf in jax.tree.leaves(lowered.in_avals)]
    assert [shape for shape in shapes if SIZE in shape] == [(SIZE,), (SIZE,)]
    shapes = re.findall(rf"tensor<((?:\d+x)*{SIZE}(?:x\d+)*)x\w+>", lowered.as_text())
    assert {*shapes} == {str(SIZE)}
    assert not re.search(rf"constant .*<{SIZE}x", lowered.as_text())


def test_shared_arrays_and_constants_give_the_same_bits():
    states = []
    for algorithm in (Cloning(data=DATA), Constant()):
        algorithms = grid(algorithm, learning_rate=[0.5, 0.1])
        states.append(bits(trained(batch_of(algorithms, FrozenLake(), [0, 1]), ITERATIONS)))
    assert equal(*states)
    assert distinct(states[0][0]) == 2


TRACES = []


class Traced(QLearning):
    def step(self, env, state, key, t, total):
        TRACES.append(type(env))
        return super().step(env, state, key, t, total)


class OtherLake(FrozenLake):
    """Alike in every field, so that only the class tells its program from FrozenLake's."""

    def successor(self, state, action, outcome):
        successor, reward, terminated = super().successor(state, action, outcome)
        return successor, reward + 1, terminated


def test_only_static_values_trace_again():
    def traces(algorithm, env, *bounds):
        """How often `step` is traced for these chunks; nothing is compiled."""
        TRACES.clear()
        lanes = batch_of([algorithm] * 2, env, [0, 1]).lanes()
        algorithm, env, keys, shared = lanes
        state = jax.eval_shape(initialise, algorithm, env, keys.init, shared, bounds[-1])
        for begin, end in itertools.pairwise(bounds):
            args = (algorithm, env, state, keys.steps, shared, begin, end, bounds[-1])
            state, _, _ = jax.eval_shape(advance, *args)
        return len(TRACES)

    assert traces(Traced(), FrozenLake(), 0, 10) == 1
    assert traces(Traced(learning_rate=0.7), FrozenLake(), 0, 10) == 0
    assert traces(Traced(), FrozenLake(is_slippery=False, max_steps=7), 0, 10) == 0
    assert traces(Traced(), FrozenLake(), 0, 3, 4, 37) == 0
    assert traces(Traced(double=True), FrozenLake(), 0, 10) == 1
    assert traces(Traced(), FrozenLake(rows=("SF", "FG")), 0, 10) == 1
    assert traces(Traced(), OtherLake(), 0, 10) == 1


def test_classes_alike_in_every_field_are_different_programs():
    """The structures of two jax dataclasses would compare equal (see jaxrl.config)."""
    assert jax.tree.structure(FrozenLake()) != jax.tree.structure(OtherLake())
    assert jax.tree.structure(FrozenLake()) == jax.tree.structure(FrozenLake(success_rate=0.5))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_matrix_products_have_the_precision_of_the_study(precision):
    """A processor computes all of them in float32, so the traced program is looked at."""
    lanes, state = start(batch_of([PPO()], CartPole(), [0]))
    of_precision = engine_for(lane_mesh(jax.local_devices()[:1]), 1, precision)
    arguments = (lanes.algorithm, lanes.environment, state)
    traced = jax.make_jaxpr(of_precision.advance)(*arguments, lanes.keys.steps, lanes.shared, 0, 1, 1)
    products = [eqn for eqn in equations(traced.jaxpr) if eqn.primitive.name == "dot_general"]
    assert products
    names = {"float32": "HIGHEST", "tensorfloat32": "HIGH"}
    assert {str(eqn.params["precision"][0]) for eqn in products} == {names[precision]}


def test_long_chunks_lose_no_digits():
    """Metrics are added in float64 between calls of a limited length."""
    lanes, state = start(batch_of([QLearning(epsilon_start=0.05)] * 2, GridWorld(), [0, 1]))
    once = engine_for(lane_mesh(jax.local_devices()), 1)
    _, metrics, _ = advance_chunk(once, lanes, state, Chunk(0, 200_000, 200_000))
    total, weight = metrics["epsilon"]
    assert (weight == 200_000).all()
    np.testing.assert_allclose(total / weight, 0.05, rtol=3e-4)  # a float32 sum of all is 2e-3 off


class Nearest(CartPole):
    """Keeps the least distance so far, which is infinite at first, or where it is asked to pays that."""

    pays: bool = traced(False)

    def reset(self, key):
        return {"pole": super().reset(key), "least": jnp.float32(jnp.inf)}

    def step(self, key, state, action):
        pole, reward, terminated = super().step(key, state["pole"], action)
        reward = jnp.where(self.pays, state["least"], reward)
        return {"pole": pole, "least": state["least"]}, reward, terminated

    def observe(self, state):
        return super().observe(state["pole"])


@pytest.mark.parametrize("name", sorted({*SMALL} - {"q_learning", "sac"}))
def test_an_environment_may_keep_infinity_to_itself(name):
    """The state is finite as long as what the learner keeps is: a reward counts, once a learner keeps it."""
    algorithm, _ = small(name)
    runs = [Run(i, Nearest(pays=i == 1), algorithm, 0) for i in range(2)]
    lanes, state = start(Batch(0, 2, tuple(runs)))
    arguments = (lanes.keys.steps, lanes.shared, 0, ITERATIONS, ITERATIONS)
    state, metrics, finite = engine().advance(lanes.algorithm, lanes.environment, state, *arguments)
    assert finite.tolist() == [True, False]
    assert np.isfinite(metrics["return"][0]).tolist() == [True, False]
