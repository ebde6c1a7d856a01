"""The wrappers beside Gymnasium's of the same purpose, beside exact solutions, or beside cases done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, StickyAction, TimeAwareObservation, TimeLimit
from jax import lax, random
from scipy import stats

from envs import CartPole, CliffWalking, FrozenLake, GridWorld, MountainCar, Pendulum
from envs.adapters.to_gymnasium import ToGymnasium
from envs.tabular import MDP, discounted, enumerate_mdp, expected_return, finite_horizon, policy_iteration
from envs.wrappers import (
    DelayedRewards,
    Discretised,
    DiscretisedActions,
    FrameStack,
    Masked,
    NoisyObservations,
    Randomised,
    ScaledRewards,
    Shaped,
    StickyActions,
    TerminalLimit,
    TimeAware,
)
from jaxrl.environment import Box, Wrapper, check_contract
from jaxrl.errors import InputError
from tests.envs.test_tabular import simulated_returns
from tests.mdp.test_episode import Cents


def episode_of(env, actions):
    """The observations of an episode, its rewards, and whether each step was terminated or truncated."""
    observations, outcomes = [env.reset(seed=5)[0]], []
    for action in actions:
        obs, *outcome, _ = env.step(action)
        observations.append(obs)
        outcomes.append(outcome)
        if outcome[1] or outcome[2]:
            break
    return np.array(observations), np.array(outcomes, float)


def test_frame_stack_is_gymnasiums():
    actions = np.random.default_rng(0).integers(2, size=30)
    ours, outcomes = episode_of(ToGymnasium(FrameStack(env=CartPole(), frames=3)), actions)
    theirs, same = episode_of(FrameStackObservation(ToGymnasium(CartPole()), 3), actions)
    np.testing.assert_allclose(ours, theirs.reshape(len(theirs), -1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outcomes, same)
    assert len(outcomes) > 5


class Picture(CartPole):
    """One pixel with two channels."""

    @property
    def observation_space(self):
        return Box(-10.0, np.array([10.0, 20.0]), (1, 1, 2))

    def observe(self, state):
        return jnp.stack([state.x, state.theta]).reshape(1, 1, 2)


def test_frames_of_images_become_channels():
    env = FrameStack(env=Picture(), frames=2)
    space, state = env.observation_space, env.reset(random.key(0))
    assert space.shape == (1, 1, 4)
    np.testing.assert_array_equal(space.high.ravel(), [10, 20, 10, 20])
    np.testing.assert_array_equal(env.observe(state)[0, 0, :2], env.observe(state)[0, 0, 2:])


class Script:
    """Stands for a generator of Gymnasium, with draws that are known."""

    def __init__(self, draws):
        self.draws = iter(draws)

    def uniform(self):
        return next(self.draws)

    def integers(self, low, high):
        return low


def test_sticky_actions_are_gymnasiums():
    """From the same draws. Gymnasium draws nothing for the first step."""
    world = GridWorld(size=6)
    env, theirs = StickyActions(env=world, probability=0.5), StickyAction(ToGymnasium(world), 0.5)
    keys = random.split(random.key(1), 40)
    draws = [float(random.uniform(random.split(key)[0])) for key in keys]
    actions = np.random.default_rng(0).integers(4, size=len(keys))
    state, step = env.reset(random.key(0)), jax.jit(env.step)
    theirs.reset(seed=0)
    theirs.unwrapped._np_random = Script(draws[1:])
    for key, action in zip(keys, actions, strict=True):
        state, reward, terminated = step(key, state, action)
        obs, expected, over, *_ = theirs.step(action)
        assert (env.observe(state), bool(terminated)) == (obs, over)
        assert float(reward) == pytest.approx(expected)
        if over:
            break
    assert 0.25 < np.mean(np.array(draws) < 0.5) < 0.75


def test_sticky_actions_return_what_an_mdp_with_the_last_action_says():
    """States are (state, last action), and one more for no last action; a policy sees the state alone."""
    world, p = FrozenLake(max_steps=60), 0.25
    mdp = enumerate_mdp(world)
    policy = discounted(mdp, 0.99).policy
    states, actions = mdp.reward.shape
    last = np.arange(actions + 1)
    transition = np.zeros((states, actions + 1, actions, states, actions + 1))
    reward = np.zeros((states, actions + 1, actions))
    for chosen in range(actions):
        for previous in last:
            repeat = p if previous < actions else 0.0
            for executed, weight in ((chosen, 1 - repeat), (previous, repeat)):
                if weight:
                    transition[:, previous, chosen, :, executed] += weight * mdp.transition[:, executed]
                    reward[:, previous, chosen] += weight * mdp.reward[:, executed]
    size = states * (actions + 1)
    initial = np.zeros((states, actions + 1))
    initial[:, actions] = mdp.initial
    wide = MDP(initial.ravel(), transition.reshape(size, actions, size), reward.reshape(size, actions))
    expected = expected_return(wide, np.repeat(policy, actions + 1), world.max_steps)
    plain = expected_return(mdp, policy, world.max_steps)
    returns = simulated_returns(StickyActions(env=world, probability=p), jnp.asarray(policy), 4_000)
    error = returns.std() / np.sqrt(len(returns))
    assert abs(returns.mean() - expected) < 4 * error
    assert plain - expected > 8 * error


def test_noise_is_added_to_what_is_seen_and_to_nothing_else():
    env = NoisyObservations(env=CartPole(), deviation=0.5)

    @jax.jit
    @jax.vmap
    def seen_and_true(key):
        state, *_ = env.step(random.fold_in(key, 1), env.reset(key), jnp.int32(1))
        return env.observe(state), env.env.observe(state.inner)

    seen, true = (np.asarray(each, np.float64) for each in seen_and_true(random.split(random.key(0), 1_000)))
    for entry in (seen - true).T:
        assert stats.kstest(entry, stats.norm(0, 0.5).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef((seen - true).T) - np.eye(4)).max() < 0.12
    assert np.abs(true).max() < 0.4


def test_delayed_rewards_by_hand():
    """Rewards are 1: they are paid after steps 3 and 6, and at the time limit of 7."""
    env = DelayedRewards(env=CartPole(max_steps=7), every=3)
    _, outcomes = episode_of(ToGymnasium(env), [0, 1] * 4)
    assert outcomes[:, 0].tolist() == [0, 0, 3, 0, 0, 3, 1]


def test_long_delays_lose_no_digits():
    """A plain float32 sum of a million rewards of 0.01 is 1.4 % less."""
    steps = 1_000_000
    env = DelayedRewards(env=Cents(max_steps=steps), every=steps).arrays()

    def step(_, kept):
        state, _ = kept
        state, reward, _ = env.step(random.key(1), state, jnp.int32(0))
        return state, reward

    start = env.reset(random.key(0)), jnp.float32(0)
    _, paid = jax.jit(lambda: lax.fori_loop(0, steps, step, start))()
    np.testing.assert_allclose(float(paid), steps * float(np.float32(0.01)), rtol=1e-6)


def test_delayed_rewards_keep_every_return():
    world = FrozenLake(max_steps=50)
    mdp = enumerate_mdp(world)
    policy = discounted(mdp, 0.99).policy
    plain, delayed = (
        simulated_returns(env, jnp.asarray(policy), 200) for env in (world, DelayedRewards(env=world))
    )
    np.testing.assert_array_equal(plain, delayed)


def test_time_awareness_is_gymnasiums_but_counts_down():
    world, actions = CartPole(max_steps=8), [0, 1] * 4
    ours, outcomes = episode_of(ToGymnasium(TimeAware(env=world)), actions)
    limited = TimeLimit(ToGymnasium(world), 8)
    theirs, _ = episode_of(TimeAwareObservation(limited, normalize_time=True), actions)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours[:, :-1], theirs[:, :-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours[:, -1], 1 - theirs[:, -1], rtol=1e-6)
    assert outcomes[-1, 1:].tolist() == [1, 0]  # terminated and not truncated


def test_a_terminal_limit_changes_nothing_but_how_the_last_step_ends():
    world, actions = CartPole(max_steps=8), [0, 1] * 4
    plain, before = episode_of(ToGymnasium(world), actions)
    ours, outcomes = episode_of(ToGymnasium(TerminalLimit(env=world)), actions)
    np.testing.assert_array_equal(ours, plain)
    np.testing.assert_array_equal(outcomes[:, 0], before[:, 0])
    assert (before[-1, 1:].tolist(), outcomes[-1, 1:].tolist()) == ([0, 1], [1, 0])


class Remaining(Wrapper):
    """Its observation is (steps that remain - 1) * states + state, for a table."""

    def observe(self, state):
        seen, steps = self.env.observe(state), self.env.max_steps
        return jnp.int32(jnp.round(seen[-1] * steps) - 1) * (len(seen) - 1) + jnp.argmax(seen[:-1])


def test_who_sees_the_time_reaches_the_best_return_of_all():
    """0.7442 on the lake of 100 steps, where the best policy without a clock reaches 0.7402."""
    world = FrozenLake()
    mdp = enumerate_mdp(world)
    solution = finite_horizon(mdp, world.max_steps)
    clock = Remaining(env=TimeAware(env=world))
    returns = simulated_returns(clock, jnp.asarray(solution.policy[::-1].ravel()), 4_000)
    error = returns.std() / np.sqrt(len(returns))
    assert abs(returns.mean() - mdp.initial @ solution.value) < 4 * error


def test_scaled_rewards_scale_values_and_thresholds():
    env = ScaledRewards(env=FrozenLake(), factor=2.0)
    assert env.solved_return == pytest.approx(1.4)
    assert env.replace(factor=-1.0).solved_return is None
    ours, plain = (finite_horizon(enumerate_mdp(each), 100) for each in (env, FrozenLake()))
    np.testing.assert_allclose(ours.value, 2 * plain.value, rtol=1e-6)


class Guess(Shaped):
    """A potential without any sense."""

    def potential(self, state):
        return jnp.sin(3.0 * self.inner(state))


class Bonus(Wrapper):
    """A naive bonus for every step to a cell nearer to the goal."""

    def step(self, key, state, action):
        successor, reward, terminated = self.env.step(key, state, action)
        nearer = self.potential(successor) > self.potential(state)
        return successor, reward + jnp.where(nearer, 1.0, 0.0), terminated


DISCOUNT = 0.9


@pytest.mark.parametrize(
    "shaped",
    [
        Shaped(env=GridWorld(step_reward=-1.0), discount=DISCOUNT),
        Guess(env=FrozenLake(), discount=DISCOUNT),
        Guess(env=CliffWalking(is_slippery=True), discount=DISCOUNT),
    ],
    ids=["grid", "lake", "cliff"],
)
def test_shaping_by_a_potential_keeps_the_optimal_policies(shaped):
    """All of them: the shaped action values are q(s, a) - Φ(s) (Ng et al. 1999, corollary 2)."""
    plain, changed = (policy_iteration(enumerate_mdp(env), DISCOUNT) for env in (shaped.env, shaped))
    states = np.flatnonzero(enumerate_mdp(shaped).transition.any(axis=(1, 2)))
    potential = np.array([float(shaped.potential(jnp.int32(state))) for state in states])
    np.testing.assert_allclose(
        changed.action_value[states], plain.action_value[states] - potential[:, None], rtol=0, atol=1e-5
    )


def test_a_naive_bonus_changes_the_optimal_policy():
    """The agent walks to and fro for the bonus, and never reaches the goal."""
    world = GridWorld(goal_reward=1.0)
    policy = discounted(enumerate_mdp(Bonus(env=world)), DISCOUNT).policy
    assert expected_return(enumerate_mdp(world), policy, 100) < 0
    best = discounted(enumerate_mdp(Shaped(env=world, discount=DISCOUNT)), DISCOUNT).policy
    assert expected_return(enumerate_mdp(world), best, 100) == pytest.approx(0.5)


def test_bins_are_those_of_numpy():
    env = Discretised(env=MountainCar(), bins=(5, 4))
    rng, space = np.random.default_rng(0), MountainCar().observation_space
    low, high = np.asarray(space.low), np.asarray(space.high)
    seen = rng.uniform(low - 0.1, high + 0.1, (500, 2)).astype(np.float32)
    edges = [np.linspace(low[i], high[i], bins + 1)[1:-1] for i, bins in enumerate((5, 4))]
    expected = np.digitize(seen[:, 0], edges[0]) * 4 + np.digitize(seen[:, 1], edges[1])
    state = type(MountainCar().reset(random.key(0)))
    ours = jax.jit(jax.vmap(lambda obs: env.observe(state(*obs))))(seen)
    assert np.mean(ours == expected) > 0.99  # edges of two roundings
    assert {*np.asarray(ours).tolist()} == {*range(20)}
    assert env.observation_space.n == 20


def test_levels_of_actions_go_from_end_to_end():
    env = DiscretisedActions(env=Pendulum(max_torque=1.5), levels=4)
    assert env.action_space.n == 4
    state, step, inner_step = env.reset(random.key(0)), jax.jit(env.step), jax.jit(env.env.step)
    for action, torque in enumerate([-1.5, -0.5, 0.5, 1.5]):
        ours = step(random.key(1), state, jnp.int32(action))
        theirs = inner_step(random.key(1), state, jnp.float32([torque]))
        assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-6), ours, theirs))


def test_randomised_on_a_log_scale():
    env = Randomised(env=CartPole(pole_length=0.1), high=CartPole(pole_length=10.0), scale="log")
    drawn = jax.jit(jax.vmap(env.arrays().reset))(random.split(random.key(0), 2_000)).env
    exponents = np.log10(np.asarray(drawn.pole_length))
    assert stats.kstest(exponents, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert (np.asarray(drawn.gravity) == np.float32(9.8)).all()


class ChannelsFirst(CartPole):
    """Its observations are images as PyTorch has them."""

    @property
    def observation_space(self):
        return Box(0.0, 1.0, (3, 9, 9))


class ManyTorques(Pendulum):
    """Its action has three numbers."""

    @property
    def action_space(self):
        return Box(-2.0, 2.0, (3,))


class FreeTorque(Pendulum):
    """Its action has no lower bound."""

    @property
    def action_space(self):
        return Box(-np.inf, 2.0, (1,))


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (
            Randomised(env=CartPole(force=-1.0), high=CartPole(force=1.0), scale="log"),
            "Randomised: a log scale needs positive ends, but the range of force goes from -1.0 to 1.0",
        ),
        (
            Randomised(env=CartPole(), high=CartPole(), scale="logarithmic"),
            "unknown value of Randomised.scale 'logarithmic': known are log, uniform",
        ),
        (
            Randomised(env=Masked(env=CartPole()), high=Masked(env=CartPole(), seen=(0,))),
            "Randomised needs two environments of one class, with equal fields that are not traced: Masked.seen is (0, 2) and (0,)",
        ),
        (
            FrameStack(env=GridWorld()),
            "FrameStack needs observations that are a Box with at least one axis; those of GridWorld are Discrete(n=16, ",
        ),
        (
            FrameStack(env=ChannelsFirst()),
            "FrameStack needs images [height, width, channels]; those of ChannelsFirst have the shape "
            "(3, 9, 9), channels first: move the channels to the end",
        ),
        (
            NoisyObservations(env=GridWorld()),
            "NoisyObservations needs observations that are a Box with at least one axis; those of GridWorld are ",
        ),
        (
            TimeAware(env=Picture()),
            "TimeAware needs observations that are a Box with one axis; those of Picture are Box(",
        ),
        (
            Discretised(env=CartPole()),
            "Discretised needs a finite range of each entry, got -inf to inf for entry 1 of CartPole's; give low and high",
        ),
        (
            Discretised(env=MountainCar(), bins=(1, 2, 3)),
            "Discretised.bins must have 1 or 2 numbers, got (1, 2, 3)",
        ),
        (Discretised(env=MountainCar(), low=(1.0,)), "Discretised.low must have 0 or 2 numbers, got (1.0,)"),
        (
            Discretised(env=MountainCar(), bins=(100_000,)),
            "Discretised can have at most 2^31 - 1 cells, got bins=(100000,)",
        ),
        (
            DiscretisedActions(env=FreeTorque()),
            "DiscretisedActions needs actions with finite bounds; those of FreeTorque are Box(",
        ),
        (
            DiscretisedActions(env=ManyTorques(), levels=1_291),
            "DiscretisedActions can have at most 2^31 - 1 actions, got 1291 levels of 3 numbers",
        ),
        (
            TimeAware(env=ScaledRewards(env=Shaped(env=GridWorld()))),
            "Shaped must stand outside of TimeAware, whose last step is terminal",
        ),
        (
            DiscretisedActions(env=CartPole()),
            "DiscretisedActions needs actions that are a Box with at least one axis; those of CartPole are Discrete(n=2, ",
        ),
        (
            StickyActions(env=CartPole(), probability=1.5),
            "StickyActions.probability must be in [0, 1], got 1.5",
        ),
    ],
    ids=lambda each: "" if isinstance(each, str) else type(each).__name__,
)
def test_wrong_use_is_refused_in_one_sentence(env, sentence):
    with pytest.raises(InputError) as error:
        env.validate()
    assert str(error.value).startswith(sentence)


def test_a_world_without_a_potential_is_not_shaped():
    with pytest.raises(InputError, match=r"^CartPole has no potential"):
        check_contract(Shaped(env=CartPole()))


class Twice(Wrapper):
    """Repeats every action."""

    def step(self, key, state, action):
        state, _, _ = self.env.step(key, state, action)
        return self.env.step(key, state, action)


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        (Twice(env=GridWorld()), "it steps GridWorld more than once in a step"),
        (StickyActions(env=FrozenLake()), "it draws in reset or step"),
        (DelayedRewards(env=GridWorld()), "several of its states look like"),
        (TerminalLimit(env=GridWorld()), "several of its states look like"),
        (TimeAware(env=GridWorld()), "its observations or actions are not discrete"),
    ],
    ids=["twice", "sticky", "delayed", "limit", "time-aware"],
)
def test_what_hides_a_part_of_the_state_is_not_enumerated(env, reason):
    with pytest.raises(InputError, match=rf"^{type(env).__name__}\(\w+\) cannot be enumerated: {reason}"):
        enumerate_mdp(env)
