"""Exact solutions: known optima, a problem solved by hand, and agreement with simulated episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from envs import ENVIRONMENTS, CartPole, FrozenLake, Garnet, GridWorld
from envs.tabular import MDP, discounted, enumerate_mdp, expected_return, finite_horizon
from envs.wrappers import ScaledRewards, Shaped
from jaxrl.environment import Wrapper, static, traced
from jaxrl.errors import InputError
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode
from jaxrl.mdp.finite import FiniteEnvironment, draw
from jaxrl.mdp.spaces import Discrete
from jaxrl.random.generators import GENERATORS


class TwoRooms(FiniteEnvironment):
    """In either room stay (action 0), or go (1): from room 0 it succeeds with probability 3/4.

    Staying gives 1 in room 0 and 4 in room 1; going out of room 1 ends the episode and gives 5.
    """

    @property
    def num_states(self):
        return 2

    @property
    def num_actions(self):
        return 2

    def initial(self):
        return jnp.array([0.5, 0.5])

    def outcomes(self):
        return jnp.array([0.25, 0.75])

    def successor(self, state, action, outcome):
        leaves = (state == 1) & (action == 1)
        successor = jnp.where((state == 0) & (action == 1), outcome, state)
        reward = jnp.array([[1.0, 0.0], [4.0, 5.0]])[state, action]
        return successor, reward, leaves


def test_enumeration_of_a_problem_written_out_by_hand():
    mdp = enumerate_mdp(TwoRooms())
    transition = [[[1, 0], [0.25, 0.75]], [[0, 1], [0, 0]]]  # what is missing to 1 is termination
    np.testing.assert_allclose(mdp.initial, [0.5, 0.5])
    np.testing.assert_allclose(mdp.transition, transition)
    np.testing.assert_allclose(mdp.reward, [[1, 0], [4, 5]])


def test_value_iteration_of_a_problem_solved_by_hand():
    """v(1) = 4 + v(1) / 2 = 8, and v(0) = (3 v(1) + v(0)) / 8 = 24/7."""
    solution = discounted(enumerate_mdp(TwoRooms()), 0.5)
    np.testing.assert_allclose(solution.value, [24 / 7, 8])
    np.testing.assert_allclose(solution.action_value, [[19 / 7, 24 / 7], [8, 5]])
    np.testing.assert_array_equal(solution.policy, [1, 0])


def test_backward_induction_of_a_problem_solved_by_hand():
    """With one step left v = (1, 5); with two, q(0) = (1 + 1, 1/4 + 15/4) and q(1) = (4 + 5, 5)."""
    solution = finite_horizon(enumerate_mdp(TwoRooms()), 2)
    np.testing.assert_allclose(solution.value, [4, 9])
    np.testing.assert_allclose(solution.action_value, [[2, 4], [9, 5]])
    np.testing.assert_array_equal(solution.policy, [[1, 0], [0, 1]])


def test_policy_evaluation_by_hand():
    mdp = enumerate_mdp(TwoRooms())
    always_stay, uniform = np.array([0, 0]), np.full((2, 2), 0.5)
    assert expected_return(mdp, always_stay, 3) == pytest.approx((3 * 1 + 3 * 4) / 2)
    assert expected_return(mdp, uniform, 1) == pytest.approx((0.5 + 4.5) / 2)


@pytest.mark.parametrize(
    ("name", "best", "best_stationary", "uniform"),
    [
        ("FrozenLake-v1", 0.7442, 0.7402, 0.0139),
        ("FrozenLake8x8-v1", 0.9132, 0.8630, 0.0019),
    ],
)
def test_known_returns_of_the_standard_lakes(name, best, best_stationary, uniform):
    env = ENVIRONMENTS[name]
    mdp = enumerate_mdp(env)
    policy = discounted(mdp, 0.99).policy
    random_policy = np.full(mdp.reward.shape, 1 / 4)
    returns = (
        mdp.initial @ finite_horizon(mdp, env.max_steps).value,
        expected_return(mdp, policy, env.max_steps),
        expected_return(mdp, random_policy, env.max_steps),
    )
    assert tuple(round(value, 4) for value in returns) == (best, best_stationary, uniform)


def test_best_return_of_grid_world_is_that_of_the_shortest_path():
    env = GridWorld()
    mdp = enumerate_mdp(env)
    best = mdp.initial @ finite_horizon(mdp, env.max_steps).value
    assert best == pytest.approx(9.5)
    assert best - 1e-3 < env.solved_return < best


@pytest.mark.parametrize("name", ["FrozenLake-v1", "FrozenLake8x8-v1", "GridWorld-v0"])
def test_fixed_point_satisfies_the_bellman_equation(name):
    mdp, discount = enumerate_mdp(ENVIRONMENTS[name]), 0.95
    solution = discounted(mdp, discount)
    backup = mdp.reward + discount * mdp.transition @ solution.value
    np.testing.assert_allclose(solution.value, backup.max(axis=1), rtol=0, atol=1e-10)
    np.testing.assert_allclose(solution.action_value, backup, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(solution.policy, solution.action_value.argmax(axis=1))


def test_nothing_follows_a_hole_or_the_goal():
    env = FrozenLake()
    following = enumerate_mdp(env).transition.sum(axis=2)
    over = np.isin(env.cells(), ["H", "G"])
    assert (following[over] == 0).all()
    assert (following[~over].max(axis=1) > 0).all()


def test_simulated_episodes_return_what_is_expected():
    env = FrozenLake()
    mdp = enumerate_mdp(env)
    policy = discounted(mdp, 0.99).policy
    returns = simulated_returns(env, jnp.asarray(policy), episodes=4_000)
    standard_error = returns.std() / np.sqrt(len(returns))
    assert abs(returns.mean() - expected_return(mdp, policy, env.max_steps)) < 4 * standard_error


def test_world_without_finitely_many_states_is_refused():
    with pytest.raises(InputError, match="CartPole cannot be enumerated"):
        enumerate_mdp(CartPole())


@pytest.mark.parametrize("discount", [1.0, 1.5, -0.1, float("nan")])
def test_discount_without_a_sure_fixed_point_is_refused(discount):
    mdp = MDP(np.ones(1), np.ones((1, 1, 1)), np.ones((1, 1)))
    with pytest.raises(InputError, match="discount"):
        discounted(mdp, discount)


def simulated_returns(env, policy, episodes):
    """Returns of the first episode of each lane: [episodes]. The policy is [S] actions or [S, A] probabilities."""

    def step(episode, key):
        chosen = policy[episode.obs]
        action = draw(random.fold_in(key, 7), chosen) if policy.ndim == 2 else chosen
        return episode.step(env, key, action)

    def run(key):
        key_start, key_steps = random.split(key)
        keys = random.split(key_steps, env.max_steps)
        _, transitions = lax.scan(step, Episode.start(env, key_start), keys)
        return transitions.episode_return[jnp.argmax(transitions.done)]

    return np.asarray(
        jax.jit(jax.vmap(run))(random.split(random.key(0, impl=GENERATORS["pcg4x32"]), episodes))
    )


def test_simulated_episodes_return_what_is_expected_in_every_finite_world(subtests):
    """Under a policy that is optimal in half of the steps and uniform in the others; at most 40 steps."""
    finite = {name: env for name, env in ENVIRONMENTS.items() if isinstance(env, FiniteEnvironment)}
    wrapped = [
        ScaledRewards(env=finite["FrozenLake-v1"], factor=3.0),
        Shaped(env=finite["GridWorld-v0"]),
        ScaledRewards(env=Shaped(env=finite["GridWorld-v0"]), factor=-1.0),
        ScaledRewards(env=Garnet(states=6)),
    ]
    for env in [*finite.values(), *wrapped]:
        with subtests.test(env.title):
            short = env.with_values(**{f"{'env.' * depth_of(env)}max_steps": 40})
            mdp = enumerate_mdp(short)
            policy = (np.eye(mdp.reward.shape[1])[discounted(mdp, 0.9).policy] + 1 / mdp.reward.shape[1]) / 2
            returns = simulated_returns(short, jnp.asarray(policy, jnp.float32), episodes=1_000)
            standard_error = returns.std() / np.sqrt(len(returns))
            assert abs(returns.mean() - expected_return(mdp, policy, 40)) < 4.5 * standard_error + 1e-4


def depth_of(env):
    """How many wrappers are around the environment inside."""
    return 1 + depth_of(env.env) if isinstance(env, Wrapper) else 0


class OwnStep(GridWorld):
    def step(self, key, state, action):
        state, reward, terminated = super().step(key, state, action)
        return state, reward + 1, terminated


def test_an_environment_whose_step_does_more_is_refused():
    with pytest.raises(InputError, match="OwnStep overrides step"):
        enumerate_mdp(OwnStep())


class PlainGridWorld(Environment):
    """GridWorld as an Environment whose state is a pair of coordinates."""

    size: int = static(4)
    slip: float = traced(0.0)

    @property
    def observation_space(self):
        return Discrete(self.size**2)

    @property
    def action_space(self):
        return Discrete(4)

    def reset(self, key):
        return {"row": jnp.int32(0), "column": jnp.int32(0)}

    def step(self, key, state, action):
        cell, reward, terminated = GridWorld(size=self.size).successor(self.observe(state), action, 0)
        return {"row": cell // self.size, "column": cell % self.size}, reward, terminated

    def observe(self, state):
        return state["row"] * self.size + state["column"]


class SlipperyGridWorld(PlainGridWorld):
    def step(self, key, state, action):
        return super().step(key, state, jnp.where(random.bernoulli(key), action, 0))


class BlurredGridWorld(PlainGridWorld):
    def observe(self, state):
        return state["row"] * self.size


def test_an_environment_without_randomness_is_explored():
    explored, listed = enumerate_mdp(PlainGridWorld(size=3)), enumerate_mdp(GridWorld(size=3))
    np.testing.assert_array_equal(explored.initial, listed.initial)
    reached = np.arange(9) != 8  # nothing is taken from the goal, which ends the episode
    np.testing.assert_array_equal(explored.transition[reached], listed.transition[reached])
    np.testing.assert_array_equal(explored.reward[reached], listed.reward[reached])
    assert not explored.transition[8].any()


def test_an_environment_that_draws_is_refused():
    with pytest.raises(InputError, match="it draws in reset or step"):
        enumerate_mdp(SlipperyGridWorld())


def test_an_environment_that_hides_its_state_is_refused():
    with pytest.raises(InputError, match="several of its states look like 0"):
        enumerate_mdp(BlurredGridWorld())
