"""Worlds with a known answer: beside other implementations, beside their rules, and at their optimum."""

import itertools

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.toy_text.blackjack import sum_hand
from gymnax.environments.bsuite.catch import EnvState
from jax import random
from scipy import stats

from envs import Blackjack, Catch, Garnet, KeyDoor, NoisyTV, Vacuum
from envs.games.blackjack import BUST, NATURAL, TOTALS, decoded, encoded
from envs.games.catch import State
from envs.tabular import discounted, enumerate_mdp, finite_horizon
from jaxrl.errors import InputError


def best_return(env, steps):
    mdp = enumerate_mdp(env)
    return float(mdp.initial @ finite_horizon(mdp, steps).value)


def test_catch_steps_and_looks_like_gymnaxs():
    env, (theirs, params) = Catch(), gymnax.make("Catch-bsuite")
    cases = np.array([*itertools.product(range(9), range(5), range(5), range(3))])

    def both(row, column, paddle, action):
        ours, reward, over = env.step(random.key(0), State(row, column, paddle), action)
        state = EnvState(
            time=jnp.int32(0), ball_x=column, ball_y=row, paddle_x=paddle, paddle_y=9, prev_done=False
        )
        obs, _, expected, done, _ = theirs.step_env(random.key(0), state, action, params)
        return (env.observe(ours)[:, :, 0], reward, over), (obs, expected, done)

    ours, expected = jax.jit(jax.vmap(both))(*cases.T.astype(np.int32))
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    starts = jax.jit(jax.vmap(env.reset))(random.split(random.key(0), 200))
    assert {*starts.ball_column.tolist()} == {*range(5)}
    assert {*starts.paddle.tolist()} == {2}


def test_who_follows_the_ball_always_catches_it():
    env, step = Catch(), jax.jit(Catch().step)
    for column in range(5):
        state, total, over = State(jnp.int32(0), jnp.int32(column), jnp.int32(2)), 0.0, False
        while not over:
            action = 1 + jnp.sign(state.ball_column - state.paddle)
            state, reward, over = step(random.key(0), state, action)
            total += float(reward)
        assert total == env.solved_return == 1
    assert Catch(rows=3, columns=9).solved_return is None


def walked(rows, actions, carries):
    """Where KeyDoor's rules lead from the start: (row, column), whether with a key, and the last reward."""
    (row, column), reward = (
        next((y, x) for y, line in enumerate(rows) for x, c in enumerate(line) if c == "S"),
        0,
    )
    for action in actions:
        y, x = row + (-1, 1, 0, 0)[action], column + (0, 0, -1, 1)[action]
        if (
            0 <= y < len(rows)
            and 0 <= x < len(rows[0])
            and rows[y][x] != "W"
            and (carries or rows[y][x] != "D")
        ):
            row, column = y, x
        carries |= rows[row][column] == "K"
        reward = float(rows[row][column] == "G")
        if reward:
            break
    return row * len(rows[0]) + column + carries * len(rows) * len(rows[0]), reward


SMALL = ("SDG", "KWF")


def test_key_door_follows_its_rules():
    """All 1,024 sequences of five actions in a small maze."""
    env, reached = KeyDoor(rows=SMALL), set()
    step = jax.jit(env.successor)
    table = {(s, a): step(s, a, 0) for s in range(env.num_states) for a in range(4)}
    table = {key: (int(s), float(r), bool(e)) for key, (s, r, e) in table.items()}
    for actions in itertools.product(range(4), repeat=5):
        state, reward, over = 0, 0.0, False
        for action in actions:
            if not over:
                state, reward, over = table[state, action]
        assert (state, reward) == walked(SMALL, actions, False)
        assert over == bool(reward)
        reached.add(state)
    assert reached == {0, 6, 7, 8, 9}  # from the start: with the key on K, S, D and G


def test_key_door_takes_as_many_steps_as_its_shortest_path():
    """7 to the key, 8 to the door, 6 to the goal."""
    assert best_return(KeyDoor(), 20) == 0
    assert best_return(KeyDoor(), 21) == 1


def test_key_door_shows_the_key_until_it_is_taken():
    env = KeyDoor(rows=SMALL)
    assert env.text(jnp.int32(0)) == "[S] D  G \n K  W  F "
    assert env.text(jnp.int32(6)) == "[S] F  G \n F  W  F "
    assert (env.render(jnp.int32(0)) != env.render(jnp.int32(6))).any()


def test_the_television_shows_pictures_to_who_watches():
    env = NoisyTV(pictures=5)
    watch = jax.jit(jax.vmap(lambda key: env.step(key, jnp.int32(env.television), 4)))
    states, rewards, over = watch(random.split(random.key(0), 2_000))
    seen, counts = np.unique(states, return_counts=True)
    assert seen.tolist() == [*range(35, 40)]
    assert stats.chisquare(counts).pvalue > 1e-3
    assert not np.any(rewards)
    assert not np.any(over)
    above = env.television - 7
    assert env.step(random.key(0), jnp.int32(37), 0)[0] == above
    assert env.step(random.key(0), jnp.int32(above), 4)[0] == above
    assert env.text(jnp.int32(37)).splitlines()[-2:] == ["[T] W  W  W  W  W  G ", "picture 2"]
    assert (env.render(jnp.int32(37)) != env.render(jnp.int32(38))).any()


def test_the_goal_is_12_steps_away_from_the_television_or_not():
    assert best_return(NoisyTV(pictures=3), 11) == 0
    assert best_return(NoisyTV(pictures=3), 12) == 1


def test_two_dirty_rooms_by_hand():
    """Without new dirt, 2 of 8 starts lose 2 points of the 2 a step, and 2 of 8 lose 1."""
    assert best_return(Vacuum(), 1_000) == pytest.approx(2_000 - (2 * 2 + 2 * 1) / 8)
    env = Vacuum(rooms=3, move_cost=0.5)
    first_room_all_dirty, nothing_falls = jnp.int32(7), 0
    for action, expected in ((0, (7, -0.5)), (1, (8 + 7, -0.5)), (2, (6, 1.0))):
        state, reward, over = env.successor(first_room_all_dirty, action, nothing_falls)
        assert (int(state), float(reward), bool(over)) == (*expected, False)
    assert env.text(jnp.int32(8 + 5)) == " H [F] H "


def test_dirt_falls_into_each_room_on_its_own():
    probabilities = np.asarray(Vacuum(rooms=2, dirt_rate=0.25).outcomes())
    np.testing.assert_allclose(probabilities, [0.5625, 0.1875, 0.1875, 0.0625])
    assert best_return(Vacuum(dirt_rate=0.25), 100) < best_return(Vacuum(dirt_rate=0.1), 100) < 199


def end_of(dealer):
    """The outcome that stands for a dealer's final hand."""
    if sorted(dealer) == [1, 10]:
        return NATURAL
    return BUST if sum_hand(dealer) > 21 else TOTALS.index(sum_hand(dealer))


@pytest.fixture(scope="module")
def blackjack_games():
    """Games in Gymnasium: a list of (sums before, action, outcome, sums after, reward, over) for each option."""
    games = {}
    for number, option in enumerate(({}, {"natural": True}, {"sab": True})):
        twin, steps = gymnasium.make("Blackjack-v1", **({"sab": False} | option)).unwrapped, []
        rng = np.random.default_rng(1)
        for seed in range(1_500):
            obs, over = twin.reset(seed=3 * seed + number)[0], False
            while not over:
                before = (*obs, int(sorted(twin.player) == [1, 10]))
                action = int(rng.random() < 0.4 or obs[0] < 12)
                obs, reward, over, *_ = twin.step(action)
                outcome = twin.player[-1] - 1 if action else end_of(twin.dealer)
                steps.append((*before, action, outcome, *obs, reward, over))
        games[(*option,)] = np.array(steps)
    return games


@pytest.mark.parametrize("option", [(), ("natural",), ("sab",)], ids=str)
def test_blackjack_is_gymnasiums(option, blackjack_games):
    env = Blackjack(**dict.fromkeys(option, True))
    total, dealer, ace, natural, action, outcome, *after, reward, over = blackjack_games[option].T
    state = encoded(total, dealer, ace, natural).astype(np.int32)
    ours = jax.jit(jax.vmap(env.successor))(state, action.astype(np.int32), outcome.astype(np.int32))
    np.testing.assert_array_equal(decoded(np.asarray(ours[0]))[:3], after)
    np.testing.assert_array_equal(ours[1], reward)
    np.testing.assert_array_equal(ours[2], over)
    assert natural.sum() > 30
    assert 1.5 in reward if option == ("natural",) else 1.5 not in reward


def test_cards_and_dealers_ends_are_as_frequent_as_in_gymnasium(blackjack_games):
    steps = np.concatenate([*blackjack_games.values()])
    env = Blackjack()
    for dealer, action in [(1, 0), (6, 0), (10, 0), (2, 1)]:
        seen = steps[(steps[:, 1] == dealer) & (steps[:, 4] == action)][:, 5].astype(int)
        weights = np.asarray(env.outcomes_of(encoded(20, dealer, 0, 0), action), np.float64)
        expected = weights / weights.sum() * len(seen)
        counts = np.bincount(seen, minlength=10)
        assert not counts[expected == 0].any()
        assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-3


def test_the_best_player_of_blackjack_sticks_where_basic_strategy_says():
    """Sutton & Barto, figure 5.2. With a usable ace against an ace, 18 is nearly the same either way."""
    mdp = enumerate_mdp(Blackjack(sab=True))
    policy = finite_horizon(mdp, 20).policy[0]
    least = {1: 17, 2: 13, 3: 13, 4: 12, 5: 12, 6: 12, 7: 17, 8: 17, 9: 17, 10: 17}
    for dealer, total in itertools.product(range(1, 11), range(12, 22)):
        assert policy[encoded(total, dealer, 0, 0)] == (total < least[dealer])
        if dealer > 1:
            assert policy[encoded(total, dealer, 1, 0)] == (total < (19 if dealer in (9, 10) else 18))


def test_a_garnet_is_another_mdp_for_each_seed_and_the_same_for_each_generator():
    mdps = [enumerate_mdp(Garnet(seed=seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(mdps[0].transition, mdps[1].transition)
    np.testing.assert_array_equal(mdps[0].reward, mdps[1].reward)
    assert (mdps[0].transition != mdps[2].transition).any()
    assert jax.tree.structure(Garnet(seed=1)) == jax.tree.structure(Garnet(seed=2))
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(enumerate_mdp(Garnet()).transition, mdps[0].transition)


def test_a_garnets_numbers_are_distributed_as_they_should_be():
    env = Garnet(states=30, actions=20, branching=4)
    mdp = enumerate_mdp(env)
    assert ((mdp.transition > 0).sum(axis=2) == 4).all()
    np.testing.assert_allclose(mdp.transition.sum(axis=2), 1)
    assert stats.kstest(mdp.reward.ravel(), stats.norm.cdf).pvalue > 1e-3
    # Each part of an interval that 3 uniform draws cut has the distribution Beta(1, 3).
    parts = mdp.transition[:, :, :].reshape(-1, 30).max(axis=1)
    assert parts.mean() == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, abs=0.02)  # of the largest of 4
    reached = (mdp.transition > 0).sum(axis=(0, 1))
    assert stats.chisquare(reached).pvalue > 1e-3
    assert enumerate_mdp(Garnet(states=3, actions=1, branching=1)).transition.max() == 1
    assert discounted(mdp, 0.9).value.std() > 0


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (KeyDoor(rows=("SDG",)), "a KeyDoor map with a door (D) needs a key (K), got ('SDG',)"),
        (KeyDoor(rows=("SXG",)), "a KeyDoor map is made of S, F, W, K, D and G, got ('SXG',)"),
        (KeyDoor(rows=("FFG",)), "a KeyDoor map needs a start (S), got ('FFG',)"),
        (NoisyTV(rows=("SFG",)), "a NoisyTV map needs a television (T), got ('SFG',)"),
        (NoisyTV(rows=("STTG",)), "a NoisyTV map has one television (T), got ('STTG',)"),
        (Garnet(branching=21), "Garnet.branching must be at most the number of states, 20, got 21"),
        (Vacuum(rooms=9), "Vacuum.rooms must be in [1, 8], got 9"),
        (Catch(rows=1), "Catch.rows must be at least 2, got 1"),
        (Catch(rows=9, max_steps=8), "Catch.rows must be at most max_steps = 8, got 9"),
    ],
)
def test_bad_worlds_are_refused_in_one_sentence(env, sentence):
    with pytest.raises(InputError) as error:
        env.validate()
    assert str(error.value) == sentence
