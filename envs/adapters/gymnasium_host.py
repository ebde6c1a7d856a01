"""Gymnasium's instances on the host: steps of many copies, restored from a seed and actions where need be."""

import traceback
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
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

    An instance that was dropped is made again by the same actions, so dropping costs only time. An instance
    serves one episode, since some remember the episode before: in BipedalWalker-v3 the last bits differ.
    """

    def __init__(self, name: str, spec: Any, batches: int = 1) -> None:
        """`name` is for messages, `spec` Gymnasium's EnvSpec. There is room for this many batches at once."""
        from gymnasium.spaces import Discrete as TheirDiscrete

        self.name, self.spec, self.batches = name, spec, batches
        env = made(spec)
        self.observation_space, self.action_space = env.observation_space, env.action_space
        env.close()
        self.obs_shape = self.observation_space.shape
        self.obs_start: int | None = None  # the least number of a Discrete
        self.action_start: int | None = None
        self.obs_dtype = np.dtype(np.int32)
        if isinstance(self.observation_space, TheirDiscrete):
            self.obs_start = int(self.observation_space.start)
        else:
            self.obs_dtype = canonical(self.observation_space.dtype)
        if isinstance(self.action_space, TheirDiscrete):
            self.action_start = int(self.action_space.start)
        # (seed, bytes of all actions) -> instance and last outcome, the least recently used first.
        self.running: OrderedDict[tuple[int, bytes], tuple[Any, Outcome]] = OrderedDict()
        self.capacity = 2

    def first(self, seeds: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray]:
        """First observations, [rows, *obs], of episodes with these seeds, [rows] uint32.

        Zeros where `counts` ([rows] uint32), the number of actions so far, is not 0.
        """
        self._make_room(len(seeds))
        obs = np.zeros((len(seeds), *self.obs_shape), self.obs_dtype)
        for row in np.flatnonzero(counts == 0):
            obs[row] = self._first(int(seeds[row]))
        return (obs,)

    def step(
        self, seeds: np.ndarray, counts: np.ndarray, actions: np.ndarray, limit: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Observations, [rows, *obs], rewards and terminations, [rows] each, of one more action.

        Args:
          seeds: [rows] uint32, of the episodes.
          counts: [rows] uint32, the number of actions so far.
          actions: [rows, more than the largest count, *action], the actions so far and the next one.
          limit: the time limit of an episode.
        """
        self._make_room(len(seeds))
        rows = zip(seeds.tolist(), counts.tolist(), actions, strict=True)
        obs, reward, terminated = zip(*[self._step_one(*row, limit) for row in rows], strict=True)
        return np.stack(obs), np.asarray(reward, np.float32), np.asarray(terminated, np.bool_)

    def _make_room(self, rows: int) -> None:
        """Raises the capacity to what training and evaluation of batches of this size need."""
        self.capacity = max(self.capacity, 2 * rows * self.batches)

    def _first(self, seed: int) -> np.ndarray:
        """`first` for one episode. Keeps its instance for the first action."""
        if (seed, b"") not in self.running:
            self.running[seed, b""] = self._begun(seed)
        return self.running[seed, b""][1].obs

    def _step_one(self, seed: int, count: int, actions: np.ndarray, limit: int) -> Outcome:
        """`step` for one episode."""
        if count >= limit:
            raise RuntimeError(f"gymnasium:{self.name} was stepped beyond its max_steps, {limit}")
        before, after = (seed, actions[:count].tobytes()), (seed, actions[: count + 1].tobytes())
        if after in self.running:  # a lane that waits for other lanes repeats its step
            self.running.move_to_end(after)
            return self.running[after][1]
        env = self.running.pop(before)[0] if before in self.running else self._replayed(seed, actions[:count])
        outcome = self._step_instance(env, actions[count])
        if outcome.terminated or count + 1 == limit:
            env.close()
        else:
            self.running[after] = env, outcome
        return outcome

    def _begun(self, seed: int) -> tuple[Any, Outcome]:
        """A new instance at the start of its episode."""
        while len(self.running) >= self.capacity:
            _, (oldest, _) = self.running.popitem(last=False)
            oldest.close()
        env = made(self.spec)
        outcome = self._called("reset", lambda: env.reset(seed=seed))
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
        theirs = (
            np.array(action, self.action_space.dtype)
            if self.action_start is None
            else int(action) + self.action_start
        )
        outcome = self._called("step", lambda: env.step(theirs))
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

    def _called(self, method: str, call: Callable[[], Any]) -> Any:
        """Says in one sentence what a method of the environment raised, and in which line."""
        try:
            return call()
        except Exception as error:
            frames = [
                (frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)
            ]
            raised = f"{type(error).__name__}: {error}".partition("\n")[0]
            where = f"gymnasium:{self.name}.{method}"
            raise InputError(f"{where} raised {raised} ({users_line(frames)})") from error

    def _observed(self, obs: Any) -> np.ndarray:
        """A copy of an observation, since the environment may write into its array later."""
        if np.shape(obs) != self.obs_shape:
            raise InputError(
                f"gymnasium:{self.name} must return observations of shape {self.obs_shape}, "
                f"got {np.shape(obs)}"
            )
        return np.array(obs if self.obs_start is None else obs - self.obs_start, self.obs_dtype)


def spec_of(name: str) -> Any:
    """Gymnasium's EnvSpec for an id. Raises InputError if Gymnasium cannot make the environment."""
    try:
        import gymnasium
    except ImportError:
        raise InputError(f"gymnasium:{name} needs Gymnasium: pip install gymnasium") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the error that follows says the same
            env = gymnasium.make(name, max_episode_steps=-1, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError) as error:
        # If a package is missing, also one that registers a namespace, Gymnasium's message names it.
        missing = isinstance(error, gymnasium.error.NamespaceNotFound)
        if isinstance(error, gymnasium.error.UnregisteredEnv) and not missing:
            raise unknown("environment of Gymnasium", name, gymnasium.registry) from None
        raise InputError(f"Gymnasium cannot make {name!r}: {error}") from None
    env.close()
    if env.metadata.get("jax") or env.metadata.get("calls_jax"):  # Gymnasium's environments; ours
        raise InputError(f"gymnasium:{name} calls jax, which inside a callback of jax can block for ever")
    assert env.spec is not None
    return gymnasium.spec(env.spec.id)  # with the time limit, which this instance lacks


def made(spec: Any) -> Any:
    """A new instance without Gymnasium's time limit."""
    import gymnasium

    return gymnasium.make(spec, max_episode_steps=-1, disable_env_checker=True)


def translated(what: str, space: Any) -> Discrete | Box:
    """A space of Gymnasium as ours. Raises InputError if we have no such space."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n), start=int(space.start))
    if isinstance(space, spaces.Box):
        dtype = canonical(space.dtype)
        with np.errstate(over="ignore"):  # the largest float64 becomes infinite
            return Box(space.low.astype(dtype), space.high.astype(dtype), space.shape, dtype)
    raise InputError(f"{what} are a {type(space).__name__}, which is neither a Discrete nor a Box")


def canonical(dtype: Any) -> np.dtype:
    """The type that jax gives to arrays of this type: 32 bits in place of 64."""
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype))
