"""Blackjack, as in Gymnasium 1.x (Sutton & Barto, example 5.1): stick or hit against a dealer."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from PIL import Image, ImageDraw

from jaxrl.environment import FiniteEnvironment, traced

STICK, HIT = 0, 1
CARDS = np.array([1] * 9 + [4]) / 13  # probability of a card of 1 (an ace) to 9, and of one that counts 10
# What the dealer may end with, as outcomes of sticking: totals, a bust, which counts 0, and a natural.
TOTALS = (17, 18, 19, 20, 21, 0, 21)
BUST, NATURAL = 5, 6
# How many values the player's total, the dealer's card, and the two truth values have.
SHAPE = (32, 11, 2, 2)


class Blackjack(FiniteEnvironment):
    """A state is ((total * 11 + dealer) * 2 + ace) * 2 + natural, of an infinite deck.

    total: the player's, above 21 after a bust; dealer: the card that the dealer shows, 1 for an ace; ace:
    whether the player has an ace that counts 11. These three are Gymnasium's observation. natural: whether
    the player's first two cards are an ace and a 10, which Gymnasium's rules know but do not show. Actions: 0
    stick, 1 hit. A win gives 1, a loss -1. The dealer draws up to 17.
    """

    natural: bool = traced(False, "whether a win with a natural gives 1.5; no effect if sab is true")
    sab: bool = traced(False, "Sutton & Barto's rules: a natural wins unless the dealer has one too")
    max_steps: int = traced(1_000, low=1)

    @property
    def num_states(self) -> int:
        return int(np.prod(SHAPE))

    @property
    def num_actions(self) -> int:
        return 2

    def initial(self) -> np.ndarray:
        table = np.zeros(SHAPE)
        for first, second, dealer in np.ndindex(10, 10, 10):
            ace = 0 in (first, second)
            total = first + second + 2 + 10 * ace
            table[total, dealer + 1, int(ace), int(total == 21)] += (
                CARDS[first] * CARDS[second] * CARDS[dealer]
            )
        return table.ravel()

    def outcomes_of(self, state: Array, action: Array) -> Array:
        """A hit draws a card, 1 to 10. After a stick the dealer ends with one of TOTALS."""
        _, dealer, _, _ = decoded(state)
        return jnp.where(action == HIT, jnp.asarray(CARDS), jnp.asarray(dealer_ends())[dealer])

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        total, dealer, ace, natural = decoded(state)
        card = outcome + 1
        hard = total - 10 * ace + card
        soft = ((ace == 1) | (card == 1)) & (hard + 10 <= 21)
        after = hard + 10 * soft
        hit = encoded(after, dealer, soft, 0)

        theirs = jnp.asarray((*TOTALS, 0, 0, 0))[outcome]
        won = jnp.sign(total - theirs).astype(jnp.float32)
        wins_at_once = self.sab & (natural == 1) & (outcome != NATURAL)
        pays_more = self.natural & ~jnp.asarray(self.sab) & (natural == 1) & (won == 1)
        stick = jnp.where(wins_at_once, 1.0, jnp.where(pays_more, 1.5, won))

        over = total > 21
        hits = (action == HIT) & ~over
        reward = jnp.where(hits, jnp.where(after > 21, -1.0, 0.0), jnp.where(over, 0.0, stick))
        successor = jnp.where(hits, hit, state).astype(jnp.int32)
        return successor, reward, ~hits | (after > 21)

    def symbol(self, state: int, action: int) -> str:
        return "sh"[action]

    def render(self, state: Array) -> np.ndarray:
        image = Image.new("RGB", (300, 200), (7, 99, 36))
        ImageDraw.Draw(image).multiline_text(
            (30, 50), self.text(state), fill="white", font_size=26, spacing=16
        )
        return np.asarray(image)

    def text(self, state: Array) -> str:
        total, dealer, ace, _ = (int(part) for part in decoded(state))
        return f"dealer shows {'an ace' if dealer == 1 else dealer}\nplayer has {total}" + " (soft)" * ace


def encoded(total: Any, dealer: Any, ace: Any, natural: Any) -> Any:
    """The state with these four parts."""
    return ((total * SHAPE[1] + dealer) * SHAPE[2] + ace) * SHAPE[3] + natural


def decoded(state: Any) -> tuple[Any, Any, Any, Any]:
    """Total, dealer, ace and natural of a state, or of a numpy or jax array of states."""
    rest, natural = state // SHAPE[3], state % SHAPE[3]
    rest, ace = rest // SHAPE[2], rest % SHAPE[2]
    return rest // SHAPE[1], rest % SHAPE[1], ace, natural


@functools.cache
def dealer_ends() -> np.ndarray:
    """Probability of each of the dealer's ends for each card that the dealer shows: [11, 10].

    The columns follow TOTALS; the last three are 0. Row 0, which is no card, repeats the ace's.
    """
    ends = np.zeros((11, 10))
    for shown, hidden in np.ndindex(10, 10):
        if {shown, hidden} == {0, 9}:
            ends[shown + 1, NATURAL] += CARDS[hidden]
        else:
            ends[shown + 1] += CARDS[hidden] * drawn_from(shown + hidden + 2, 0 in (shown, hidden))
    ends[0] = ends[1]
    return ends


@functools.cache
def drawn_from(hard: int, ace: bool) -> np.ndarray:
    """The same for a hand that is no natural, with all aces counted 1, and whether it has an ace: [10]."""
    total = hard + 10 if ace and hard + 10 <= 21 else hard
    if total >= 17:
        return np.eye(10)[BUST if total > 21 else TOTALS.index(total)]
    return sum(p * drawn_from(hard + card, ace or card == 1) for card, p in enumerate(CARDS, start=1))
