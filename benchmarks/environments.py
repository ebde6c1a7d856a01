"""Steps per second of each environment under a random policy, compared with gymnax and Gymnasium."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
from jax import Array, lax, random
from rich.console import Group
from rich.table import Table

from benchmarks.timing import Call, time_in_turn
from envs import ENVIRONMENTS
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode
from jaxrl.random.generators import GENERATORS
from jaxrl.text import number

COPIES = (1, 64, 1_024, 16_384)
SYNC_COPIES = 1_024  # the most for a SyncVectorEnv, which steps its copies one after the other
ROUNDS = 7
PEERS = ("gymnax", "gymnasium")


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each environment whose name contains `only` and each number of copies."""
    chosen = [name for name in sorted(ENVIRONMENTS) if only in name]
    for name in chosen[:1] if smoke else chosen:
        for copies in COPIES[:1] if smoke else COPIES:
            timings = time_in_turn(contenders(name, copies), rounds=1 if smoke else ROUNDS)
            rates = {each: copies * timing.iterations_per_second for each, timing in timings.items()}
            yield {
                "environment": name,
                "copies": copies,
                "steps_per_second": rates,
                "ratios": ratios(rates),
                "timings": {each: timing._asdict() for each, timing in timings.items()},
            }


def ratios(rates: dict[str, float]) -> dict[str, dict[str, float]]:
    """Our rate divided by theirs: peer -> generator -> ratio."""
    return {
        peer: {generator: rates[generator] / rates[peer] for generator in GENERATORS}
        for peer in PEERS
        if peer in rates
    }


def contenders(name: str, copies: int) -> dict[str, Call]:
    """The calls that step this many copies: ours with each generator, and the peers' if they have it."""
    calls = {generator: our_steps(name, copies, impl) for generator, impl in GENERATORS.items()}
    if name in gymnax.registered_envs:
        calls["gymnax"] = gymnax_steps(name, copies)
    theirs = gymnasium.registry.get(gymnasium_id(name))
    if theirs and (theirs.vector_entry_point or copies <= SYNC_COPIES):
        calls["gymnasium"] = gymnasium_steps(name, copies)
    return calls


def gymnasium_id(name: str) -> str:
    """Gymnasium's id of our environment. Its Taxi now has another version with the same rules."""
    return "Taxi-v4" if name == "Taxi-v3" and name not in gymnasium.registry else name


def our_steps(name: str, copies: int, impl: Any) -> Call:
    env, keys = ENVIRONMENTS[name].arrays(), random.split(random.key(0, impl=impl), copies)
    episodes = jax.vmap(Episode.start, (None, 0))(env, keys)
    return lambda steps: jax.block_until_ready(random_steps(our_step, env, episodes, keys[0], steps))


def our_step(env: Environment, episode: Episode, key_act: Array, key_env: Array) -> tuple[Episode, Array]:
    """A step with a uniform action, and its reward."""
    episode, transition = episode.step(env, key_env, env.action_space.sample(key_act))
    return episode, transition.reward


def gymnax_steps(name: str, copies: int) -> Call:
    env, params = gymnax.make(name)
    keys, step = random.split(random.key(0), copies), partial(gymnax_step, env)
    states = strongly_typed(jax.vmap(env.reset, (0, None))(keys, params))
    return lambda steps: jax.block_until_ready(random_steps(step, params, states, keys[0], steps))


def gymnax_step(
    env: Any, params: Any, state: tuple[Any, Any], key_act: Array, key_env: Array
) -> tuple[Any, Array]:
    """`our_step` in gymnax, whose `step` starts a new episode as `Episode.step` does."""
    action = env.action_space(params).sample(key_act)
    obs, inner, reward, *_ = env.step(key_env, state[1], action, params)
    return strongly_typed((obs, inner)), jnp.float32(reward)


def strongly_typed(tree: Any) -> Any:
    """A tree without weak types, so that a loop's state keeps its type."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)


@partial(jax.jit, static_argnums=0)
def random_steps(
    step: Callable[..., tuple[Any, Array]], env: Any, states: Any, key: Array, steps: Array | int
) -> tuple[Any, Array]:
    """Takes `steps` steps in each copy ([copies]) by `step(env, state, key_act, key_env)`.

    Returns the states and the sums of rewards.
    """

    def iteration(t: Array, carry: tuple[Any, Array]) -> tuple[Any, Array]:
        states, total = carry
        keys = random.split(random.fold_in(key, t), (2, copies))
        states, reward = jax.vmap(step, (None, 0, 0, 0))(env, states, *keys)
        return states, total + reward

    copies = jax.tree.leaves(states)[0].shape[0]
    return lax.fori_loop(0, steps, iteration, (states, jnp.zeros(copies)))


def gymnasium_steps(name: str, copies: int) -> Call:
    """Steps of Gymnasium's own vector environment if there is one (CartPole), else of a SyncVectorEnv."""
    envs = gymnasium.make_vec(gymnasium_id(name), num_envs=copies)
    envs.reset(seed=0)
    envs.action_space.seed(0)

    def call(steps: int) -> None:
        for _ in range(steps):
            envs.step(envs.action_space.sample())

    return call


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each row: rates, and each generator's rate divided by each peer's."""
    columns = (*GENERATORS, *(column for peer in PEERS for column in (peer, "x")))
    table = Table("steps/s", "copies", *columns, box=None)
    for row in rows:
        rates, cells = row["steps_per_second"], []
        for peer in PEERS:
            ahead = row["ratios"].get(peer, {})
            cells += [
                number(rates[peer]) if peer in rates else "",
                " / ".join(f"{ratio:.3g}" for ratio in ahead.values()),
            ]
        ours = [number(rates[generator]) for generator in GENERATORS]
        table.add_row(row["environment"], f"{row['copies']:,}", *ours, *cells)
    rounds = len(rows[0]["timings"]["threefry2x32"]["seconds"])
    note = f"medians of {rounds} rounds, all timed in turn; x is {' / '.join(GENERATORS)} / the peer's rate"
    return Group(table, note)
