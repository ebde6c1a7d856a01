"""Gymnasium's instances on the host: steps of many copies, restored from a seed and actions where need be."""

import contextlib
import functools
import threading
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl.environment import Box, Discrete
from jaxrl.errors import InputError, unknown, users_line


class Outcome(NamedTuple):
    """The outcome of a step or of a reset."""

    obs: np.ndarray  # [*obs]
    reward: float
    terminated: bool


class Host:
    """Instances of one of Gymnasium's environments, kept by their seeds and actions so far.

    An instance that was dropped is made again by the same actions, so dropping costs only time. There is room
    for training and evaluation of the largest batch. An instance serves one episode, since some remember the
    episode before: in BipedalWalker-v3 the last bits differ. XLA may call from several threads.
    """

    def __init__(self, name: str) -> None:
        """Raises InputError if Gymnasium cannot make this environment."""
        self.name = name
        env = _make(name)
        if env.metadata.get("jax") or env.metadata.get("calls_jax"):  # Gymnasium's environments; ours
            raise InputError(f"gymnasium:{name} calls jax, which inside a callback of jax can block for ever")
        self.max_steps = _time_limit(env)
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        env.close()
        # (seed, bytes of all actions) -> instance and last outcome, the least recently used first.
        self.running: OrderedDict[tuple[int, bytes], tuple[Any, Outcome]] = OrderedDict()
        self.capacity = 2
        self.lock = threading.Lock()

    def first(self, seeds: Any, counts: Any) -> np.ndarray:
        """First observations, [*batch, *obs], of episodes with these seeds, [*batch] uint32.

        Zeros where `counts` ([*batch] int32), the number of actions so far, is not 0.
        """
        seeds, counts = np.asarray(seeds), np.asarray(counts)
        nothing = np.zeros(self.observation_space.shape, _canonical(self.observation_space.dtype))
        with self.lock:
            self._make_room(seeds.size)
            observations = [
                nothing if count else self._first(seed)
                for seed, count in zip(seeds.ravel().tolist(), counts.ravel().tolist(), strict=True)
            ]
        return _stacked(observations, seeds.shape)

    def step(self, seeds: Any, counts: Any, actions: Any, action: Any) -> tuple[np.ndarray, ...]:
        """Observations, [*batch, *obs], rewards and terminations, [*batch] each, of one more action.

        Args:
          seeds: [*batch] uint32, of the episodes.
          counts: [*batch] int32, the number of actions so far.
          actions: [*batch, max_steps, *action], the actions so far.
          action: [*batch, *action], the next actions.
        """
        seeds, counts, actions, action = map(np.asarray, (seeds, counts, actions, action))
        batch, axes = seeds.shape, seeds.ndim
        rows = zip(
            seeds.ravel().tolist(),
            counts.ravel().tolist(),
            actions.reshape(-1, *actions.shape[axes:]),
            action.reshape(-1, *action.shape[axes:]),
            strict=True,
        )
        with self.lock:
            self._make_room(seeds.size)
            outcomes = [self._step_one(*row) for row in rows]
        obs, reward, terminated = zip(*outcomes, strict=True)
        return (
            _stacked(obs, batch),
            np.asarray(reward, np.float32).reshape(batch),
            np.asarray(terminated, np.bool_).reshape(batch),
        )

    def _make_room(self, batch: int) -> None:
        """Raises the capacity to what a batch of this many environments needs."""
        self.capacity = max(self.capacity, 2 * batch * jax.local_device_count())

    def _first(self, seed: int) -> np.ndarray:
        """`first` for one episode. Keeps its instance for the first action."""
        if (seed, b"") not in self.running:
            self.running[seed, b""] = self._begun(seed)
        return self.running[seed, b""][1].obs

    def _step_one(self, seed: int, count: int, actions: np.ndarray, action: np.ndarray) -> Outcome:
        """`step` for one episode."""
        if count >= len(actions):
            raise RuntimeError(f"gymnasium:{self.name} was stepped beyond its max_steps, {len(actions)}")
        before = seed, actions[:count].tobytes()
        after = seed, before[1] + action.tobytes()
        if after in self.running:  # a lane that waits for other lanes repeats its step
            self.running.move_to_end(after)
            return self.running[after][1]
        env = self.running.pop(before)[0] if before in self.running else self._replayed(seed, actions[:count])
        outcome = self._step_instance(env, action)
        if outcome.terminated or count + 1 == len(actions):
            env.close()
        else:
            self.running[after] = env, outcome
        return outcome

    def _begun(self, seed: int) -> tuple[Any, Outcome]:
        """A new instance at the start of its episode."""
        while len(self.running) >= self.capacity:
            _, (oldest, _) = self.running.popitem(last=False)
            oldest.close()
        env = _make(self.name)
        with self._called("reset"):
            outcome = env.reset(seed=seed)
        if not isinstance(outcome, tuple) or len(outcome) != 2:
            raise InputError(f"gymnasium:{self.name}.reset must return (observation, info), got {outcome!r}")
        return env, Outcome(self._observed(outcome[0]), 0.0, False)

    def _replayed(self, seed: int, actions: Iterable[np.ndarray]) -> Any:
        """A new instance after these actions."""
        env, _ = self._begun(seed)
        for action in actions:
            self._step_instance(env, action)
        return env

    def _step_instance(self, env: Any, action: np.ndarray) -> Outcome:
        from gymnasium import spaces

        space = self.action_space
        discrete = isinstance(space, spaces.Discrete)
        theirs = int(action + space.start) if discrete else np.array(action, space.dtype)
        with self._called("step"):
            outcome = env.step(theirs)
        if not isinstance(outcome, tuple) or len(outcome) != 5:
            raise InputError(
                f"gymnasium:{self.name}.step must return (observation, reward, terminated, truncated, info), "
                f"got {outcome!r}"
            )
        obs, reward, terminated, truncated, _ = outcome
        number = np.asarray(reward)
        if number.size != 1 or number.dtype.kind not in "biuf":
            raise InputError(f"gymnasium:{self.name}.step must return one number as reward, got {reward!r}")
        if truncated:
            raise InputError(
                f"gymnasium:{self.name} truncates episodes by itself, which an environment of jaxrl cannot: "
                "make Gymnasium's TimeLimit its only time limit"
            )
        return Outcome(self._observed(obs), float(number.item()), bool(terminated))

    @contextlib.contextmanager
    def _called(self, method: str) -> Iterator[None]:
        """Says in one sentence what a method of the environment raised, and in which line."""
        try:
            yield
        except Exception as error:
            frames = [
                (frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)
            ]
            raised = f"{type(error).__name__}: {error}".partition("\n")[0]
            where = f"gymnasium:{self.name}.{method}"
            raise InputError(f"{where} raised {raised} ({users_line(frames)})") from error

    def _observed(self, obs: Any) -> np.ndarray:
        """A copy of an observation, since the environment may write into its array later."""
        from gymnasium import spaces

        shape = () if isinstance(self.observation_space, spaces.Discrete) else self.observation_space.shape
        if np.shape(obs) != shape:
            raise InputError(
                f"gymnasium:{self.name} must return observations of shape {shape}, got {np.shape(obs)}"
            )
        if isinstance(self.observation_space, spaces.Discrete):
            return np.array(obs - self.observation_space.start, np.int32)
        return np.array(obs, _canonical(self.observation_space.dtype))


@functools.cache
def host_of(name: str) -> Host:
    """The host for an id. Raises InputError if Gymnasium cannot make the environment."""
    return Host(name)


def _make(name: str) -> Any:
    """A new instance without Gymnasium's time limit. Raises InputError if Gymnasium cannot make it."""
    try:
        import gymnasium
    except ImportError:
        raise InputError(f"gymnasium:{name} needs Gymnasium: pip install gymnasium") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the error that follows says the same
            return gymnasium.make(name, max_episode_steps=-1, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError) as error:
        # If a package is missing, also one that registers a namespace, Gymnasium's message names it.
        missing = isinstance(error, gymnasium.error.NamespaceNotFound)
        if isinstance(error, gymnasium.error.UnregisteredEnv) and not missing:
            raise unknown("environment of Gymnasium", name, gymnasium.registry) from None
        raise InputError(f"Gymnasium cannot make {name!r}: {error}") from None


def _time_limit(env: Any) -> int | None:
    """Gymnasium's time limit for an environment, even if this instance was made without it."""
    import gymnasium

    return gymnasium.spec(env.spec.id).max_episode_steps


def translated(what: str, space: Any) -> Discrete | Box:
    """A space of Gymnasium as ours. Raises InputError if we have no such space."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n), start=int(space.start))
    if isinstance(space, spaces.Box):
        dtype = _canonical(space.dtype)
        with np.errstate(over="ignore"):  # the largest float64 becomes infinite
            return Box(space.low.astype(dtype), space.high.astype(dtype), space.shape, dtype)
    raise InputError(f"{what} are a {type(space).__name__}, which is neither a Discrete nor a Box")


def _canonical(dtype: Any) -> np.dtype:
    """The type that jax gives to arrays of this type: 32 bits in place of 64."""
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype))


def _stacked(observations: Sequence[np.ndarray], batch: tuple[int, ...]) -> np.ndarray:
    """[*batch, *obs]"""
    return np.stack(observations).reshape((*batch, *observations[0].shape))
