"""An environment of jaxrl as a gymnasium.Env, and many copies of it as a gymnasium.vector.VectorEnv."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jax import Array, lax, random

from jaxrl.environment import Composite, Discrete, Environment, Space
from jaxrl.errors import InputError, unknown

# Gymnasium's wrappers read the render modes and the frames per second of a video. FromGymnasium reads
# "calls_jax"; Gymnasium's own key "jax" would mean that observations are jax arrays.
METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30, "calls_jax": True}


class Lane(struct.PyTreeNode):
    """An environment in the middle of an episode, on its own stream of keys."""

    key: Array  # for all later draws
    state: Any  # of the environment
    length: Array  # [] int32, steps so far


class ToGymnasium(gymnasium.Env):
    """`env` as a Gymnasium environment. A step at `max_steps` is `truncated`.

    `reset(seed=s)` starts a stream of keys; every later `reset()` continues it.
    """

    metadata = METADATA.copy()

    def __init__(self, env: Environment, render_mode: str | None = None) -> None:
        """With the `render_mode` "rgb_array", `render()` returns pictures.

        Raises InputError for another mode or an environment with bad values.
        """
        self.render_mode = _checked_mode(render_mode)
        env.validate()
        self.env = env.arrays()
        self.observation_space = _translated(env.observation_space)
        self.action_space = _translated(env.action_space)
        self.lane: Lane | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """A new episode: (observation, {}). There are no options."""
        super().reset(seed=seed)
        key = _drawn_key(self.np_random) if self.lane is None or seed is not None else self.lane.key
        self.lane, obs = _reset(self.env, key)
        return _as_element(obs, self.observation_space), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """(observation, reward, terminated, truncated, {}).

        Raises InputError before the first reset, or for an action of another shape or outside of the space.
        """
        if self.lane is None:
            raise InputError(f"{self.env.title} must be reset before its first step")
        action = _checked_actions(action, self.action_space)
        self.lane, obs, *outcome = _step(self.env, self.lane, action)
        reward, terminated, truncated = jax.device_get(outcome)
        return _as_element(obs, self.observation_space), float(reward), bool(terminated), bool(truncated), {}

    def render(self) -> np.ndarray | None:
        """The current state's picture, [height, width, 3] uint8; None without a render mode."""
        if self.render_mode is None or self.lane is None:
            return None
        return self.env.render(jax.device_get(self.lane.state))


class ToGymnasiumVector(VectorEnv):
    """`num_envs` copies of `env`, stepped in one compiled call.

    By default an episode that is over is reset in the same step (`AutoresetMode.SAME_STEP`): the observation
    is the first of the new episode, and `info["final_obs"]` holds the last of the old one. With `NEXT_STEP`,
    which some wrappers of Gymnasium need, the next step resets it instead, ignores its action and gives 0.
    After `reset(seed=s)`, copy `i` behaves like a ToGymnasium with seed `s + i`.
    """

    metadata = METADATA | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        env: Environment,
        num_envs: int,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
    ) -> None:
        """Raises InputError as ToGymnasium does, for fewer than one copy, or for another mode of reset."""
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        if autoreset_mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
            raise InputError(
                f"autoreset_mode must be AutoresetMode.SAME_STEP or NEXT_STEP, got {autoreset_mode}"
            )
        self.metadata = METADATA | {"autoreset_mode": autoreset_mode}
        self.render_mode = _checked_mode(render_mode)
        env.validate()
        self.env = env.arrays()
        self.num_envs = num_envs
        self.single_observation_space = _translated(env.observation_space)
        self.single_action_space = _translated(env.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.lanes: Lane | None = None  # [num_envs]
        self.over = np.zeros(num_envs, bool)  # whether the next step resets a copy

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict]:
        """New episodes: (observations, {}). There are no options.

        A sequence gives each copy its own seed, or None. Raises InputError for one of another length.
        """
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = [None if each is None else int(each) for each in seed]
        if len(seeds) != self.num_envs:
            raise InputError(f"seed must be one number or one for each of {self.num_envs} copies, got {seed}")
        if seed is None and self.lanes is not None:
            keys = self.lanes.key
        else:
            keys = jnp.stack([self._key(i, each) for i, each in enumerate(seeds)])
        self.lanes, obs = _reset_all(self.env, keys)
        self.over = np.zeros(self.num_envs, bool)
        return _as_element(obs, self.observation_space), {}

    def _key(self, i: int, seed: int | None) -> Array:
        """The key with which copy i begins: of a seed, or else the one that continues its stream."""
        if seed is not None:
            return _drawn_key(seeding.np_random(seed)[0])
        return _drawn_key(self.np_random) if self.lanes is None else self.lanes.key[i]

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        """(observations, rewards, terminated, truncated, info), each with a leading axis [num_envs].

        Raises InputError before the first reset, or for an action of another shape or outside of the space.
        """
        if self.lanes is None:
            raise InputError(f"{self.env.title} must be reset before its first step")
        actions = _checked_actions(actions, self.action_space)
        same_step = self.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
        self.lanes, obs, final, *outcome = _step_all(self.env, self.lanes, actions, self.over, same_step)
        reward, terminated, truncated = map(np.array, jax.device_get(outcome))
        infos: dict[str, Any] = {}
        if not same_step:
            self.over = terminated | truncated
        ended = np.flatnonzero(terminated | truncated) if same_step else np.empty(0, int)
        finals = _as_element(final, self.observation_space) if ended.size else final
        for i in ended.tolist():
            infos = self._add_info(infos, {"final_obs": finals[i], "final_info": {}}, i)
        observations = _as_element(obs, self.observation_space)
        return observations, reward.astype(np.float64), terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The picture of each copy; None without a render mode."""
        if self.render_mode is None or self.lanes is None:
            return None
        states = jax.device_get(self.lanes.state)
        each = [jax.tree.map(lambda leaf, i=i: leaf[i], states) for i in range(self.num_envs)]
        return tuple(map(self.env.render, each))


@jax.jit
def _reset(env: Environment, key: Array) -> tuple[Lane, Array]:
    """A new episode with keys from `key`, and its first observation."""
    key_following, key_reset = random.split(key)
    state = env.reset(key_reset)
    return Lane(key_following, state, jnp.int32(0)), env.observe(state)


@jax.jit
def _step(env: Environment, lane: Lane, action: Array) -> tuple[Lane, Array, Array, Array, Array]:
    """(lane, observation, reward, terminated, truncated) of one step, without a reset."""
    key_following, key_step = random.split(lane.key)
    state, reward, terminated = env.step(key_step, lane.state, action)
    length = lane.length + 1
    truncated = (length >= env.max_steps) & ~jnp.asarray(terminated)
    return Lane(key_following, state, length), env.observe(state), reward, terminated, truncated


@jax.jit
def _reset_all(env: Environment, keys: Array) -> tuple[Lane, Array]:
    """`_reset` for every key."""
    return jax.vmap(_reset, (None, 0))(env, keys)


@partial(jax.jit, static_argnames="same_step")
def _step_all(
    env: Environment, lanes: Lane, actions: Array, over: Array, same_step: bool
) -> tuple[Lane, Array, Array, Array, Array, Array]:
    """(lanes, observations, final observations, rewards, terminated, truncated), each [num_envs].

    With `same_step`, the lane and its observation are those of a new episode where one ended. Otherwise a new
    one begins, instead of the step, where one was `over` before.
    """

    def one(lane: Lane, action: Array, over: Array) -> tuple[Lane, Array, Array, Array, Array, Array]:
        after, final, reward, terminated, truncated = _step(env, lane, action)
        begins = terminated | truncated if same_step else over
        fresh = _reset(env, after.key if same_step else lane.key)
        after, obs = jax.tree.map(lambda new, old: lax.select(begins, new, old), fresh, (after, final))
        if same_step:
            return after, obs, final, reward, terminated, truncated
        return after, obs, final, jnp.where(over, 0.0, reward), terminated & ~over, truncated & ~over

    return jax.vmap(one)(lanes, actions, over)


def _drawn_key(rng: np.random.Generator) -> Array:
    """A jax key from Gymnasium's random number generator."""
    return random.key(rng.integers(2**32, dtype=np.uint32))


def _as_element(array: Array, space: spaces.Space) -> Any:
    """A writable observation with the type of `space`; a number for a Discrete."""
    return np.array(array, space.dtype)[()]


def _checked_actions(actions: Any, space: spaces.Space) -> np.ndarray:
    """Actions with jax's types. Raises InputError for another shape, or an action outside of the space."""
    if isinstance(space, spaces.Box):
        dtype = np.dtype(space.dtype)
        try:
            given = np.asarray(actions)
        except ValueError:  # nested lists of different lengths
            given = np.empty((), object)
        # Real numbers are no integers.
        numeric = given.dtype.kind in "biuf" and np.can_cast(given.dtype, dtype, "same_kind")
        if not numeric or given.shape != space.shape or np.isnan(given).any():
            kind = "numbers" if dtype.kind == "f" else "integers"
            raise InputError(f"action must be {kind} of shape {space.shape}, got {actions!r}")
        return given.astype(dtype)
    actions = np.asarray(actions)
    if not space.contains(actions):
        raise InputError(f"action must be in {space}, got {actions}")
    return actions.astype(np.int32)


def _translated(space: Space) -> spaces.Space:
    if isinstance(space, Composite):
        raise InputError(f"the adapter to Gymnasium cannot translate a space with parts, got {space}")
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    low, high = (np.broadcast_to(bound, space.shape).astype(space.dtype) for bound in (space.low, space.high))
    return spaces.Box(low, high, space.shape, np.dtype(space.dtype).type)


def _checked_mode(render_mode: str | None) -> str | None:
    if render_mode not in (None, "rgb_array"):
        raise unknown("render mode", render_mode, ["rgb_array"])
    return render_mode
