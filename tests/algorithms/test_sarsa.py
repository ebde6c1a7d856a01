"""One update of the tables by hand; on the cliff, Sarsa takes the safe path and Q(λ) the shortest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from envs import CliffWalking
from envs.grids.cliff_walking import GOAL, HEIGHT, MOVES, START, WIDTH
from jaxrl.algorithms import Sarsa
from jaxrl.errors import InputError
from tests.lanes import batch_of, trained
from tests.probes import RewardTwoStepsLater

ENV = RewardTwoStepsLater()
SARSA = Sarsa(learning_rate=0.5, discount=0.5, epsilon_start=0.0, epsilon_end=0.0, trace_decay=0.5)
Q = jnp.float32([[1, 3], [4, 2], [0, 0]])
TRACE = jnp.float32([[0, 1], [0, 0], [2, 0]])


@jax.jit
def step(algorithm, action, key, t):
    """The state after iteration t of 10, an action in the first state, whose successor is the second."""
    state = algorithm.init(ENV, random.key(0)).replace(q=Q, trace=TRACE, action=action)
    return algorithm.step(ENV, state, key, t, jnp.int32(10))[0]


def stepped(algorithm, action=1, seed=0, t=0):
    return step(algorithm.arrays(), np.int32(action), random.key(seed), np.int32(t))


def test_sarsa_updates_every_pair_with_a_trace():
    """The error is 0.5 * 4 - 3; the traces decay to a quarter, and that of the visited pair becomes 1."""
    state = stepped(SARSA)
    np.testing.assert_allclose(state.trace, [[0, 1], [0, 0], [0.5, 0]])
    np.testing.assert_allclose(state.q, [[1, 3 - 0.5], [4, 2], [-0.25, 0]])
    assert state.action == 0


def test_an_accumulating_trace_grows_by_one():
    np.testing.assert_allclose(stepped(SARSA.replace(replacing=False)).trace, [[0, 1.25], [0, 0], [0.5, 0]])


def test_without_trace_decay_one_pair_is_updated():
    np.testing.assert_allclose(stepped(SARSA.replace(trace_decay=0.0)).q, [[1, 2.5], [4, 2], [0, 0]])


def test_the_learning_rate_falls_linearly():
    assert stepped(SARSA.replace(learning_rate_decay=0.2), t=5).q[0, 1] == pytest.approx(3 - 0.5 * 0.6)


def test_a_sampled_target_is_the_value_of_the_action_taken_next():
    states = [stepped(SARSA.replace(epsilon_start=1.0), seed=seed) for seed in range(20)]
    assert {(int(state.action), float(state.q[0, 1])) for state in states} == {(0, 2.5), (1, 2.0)}


def test_an_expected_target_is_the_policys_mean_value():
    """Half of the actions are uniform: the value of the second state is 4 / 2 + 3 / 2."""
    state = stepped(SARSA.replace(target="expected", epsilon_start=0.5))
    assert state.q[0, 1] == pytest.approx(3 + 0.5 * (0.5 * 3.5 - 3))


def test_q_lambda_cuts_the_traces_at_an_action_that_is_not_greedy():
    algorithm = SARSA.replace(target="greatest", epsilon_start=1.0)
    greedy, other = stepped(algorithm, action=1), stepped(algorithm, action=0)
    np.testing.assert_allclose(greedy.q, [[1, 2.5], [4, 2], [-0.25, 0]])
    np.testing.assert_allclose(other.trace, [[1, 0], [0, 0], [0, 0]])
    np.testing.assert_allclose(other.q, [[1 + 0.5 * (0.5 * 4 - 1), 3], [4, 2], [0, 0]])


def test_traces_end_with_their_episode():
    """The chain ends with its third step, which gives 1; its traces are then 1/16, 1/4 and 1."""

    def iteration(state, t):
        state, _ = SARSA.step(ENV, state, random.fold_in(random.key(1), t), t, 3)
        return state, (state.q.max(axis=1), state.trace.sum())

    _, (values, traces) = lax.scan(iteration, SARSA.init(ENV, random.key(0)), jnp.arange(3))
    np.testing.assert_allclose(traces, [1, 1.25, 0])
    np.testing.assert_allclose(values[-1], [0.5 / 16, 0.5 / 4, 0.5])


def test_the_table_begins_with_the_initial_value():
    state = SARSA.replace(initial_value=2.5).init(ENV, random.key(0))
    np.testing.assert_array_equal(state.q, np.full((3, 2), 2.5))


def test_on_the_cliff_sarsa_is_safe_and_q_lambda_is_not():
    """Greedy paths: the shortest has 13 steps along the edge, the safest 17 along the other wall."""
    algorithm = Sarsa(trace_decay=0.5, learning_rate_decay=0.01, epsilon_end=0.1)
    algorithms = [algorithm.replace(target=target) for target in ("sampled", "greatest")]
    lengths = []
    for each in algorithms:
        state = trained(batch_of([each] * 8, CliffWalking(), range(8)), 50_000)
        lengths.append([path_length(np.asarray(q)) for q in state.q])
    assert set(lengths[0]) == {17}
    assert set(lengths[1]) == {13}


def path_length(q):
    """Steps of the greedy policy from start to goal, at most 100."""
    state = START
    for length in range(100):
        if state == GOAL:
            return length
        row, column = np.clip(
            np.divmod(state, WIDTH) + np.array(MOVES[q[state].argmax()]), 0, [HEIGHT - 1, WIDTH - 1]
        )
        state = row * WIDTH + column
    return 100


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"trace_decay": 1.5}, r"^Sarsa\.trace_decay must be in \[0, 1\], got 1\.5$"),
        ({"target": "sample"}, r"^unknown value of Sarsa\.target 'sample': did you mean 'sampled'\?"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(values, said):
    with pytest.raises(InputError, match=said):
        Sarsa(**values).validate()
