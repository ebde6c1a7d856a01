"""A trained policy on its own: for loops in Python, for compiled functions, and as a file."""

import functools
import json
import os
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxrl import registry
from jaxrl.compiled.engine import PRECISIONS, with_precision
from jaxrl.errors import InputError
from jaxrl.fields import hash_of, python_number
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Memory
from jaxrl.mdp.spaces import Discrete, is_simple
from jaxrl.store.files import located
from jaxrl.store.manifest import configured_entry
from jaxrl.store.shared import shared_from, shared_of
from jaxrl.store.states import named_leaves, plain, read_arrays, restored, write_arrays

FORMAT = 1  # of the file; other formats are refused


class Policy:
    """The policy that one run has learned."""

    def __init__(self, algorithm: Algorithm, environment: Environment, state: State, seed: int = 0) -> None:
        """`state` is that of one run, without an axis of lanes. `seed` is for the draws of `predict`."""
        self.algorithm = algorithm
        # Numbers computed by a schedule become Python numbers, so that the policy can be saved.
        self.environment = jax.tree.map(
            lambda leaf: python_number(np.asarray(leaf)[()]) if isinstance(leaf, jax.Array) else leaf,
            environment,
        )
        self.state = jax.tree.map(jnp.asarray, state)
        self._key = random.key(seed)
        self._calls = 0

    @property
    def memory(self) -> Memory:
        """The policy's memory at the start of an episode; () for most."""
        return self.algorithm.memory(self.environment.arrays())

    def act(self, memory: Memory, obs: Array, key: Array, explore: bool = False) -> tuple[Array, Memory]:
        """The action for one observation and the memory after it: a pure function, for jit, vmap and scan.

        The action is greedy, or with `explore` as at the end of training. Discrete numbers count from 0 here,
        also where those of `predict` do not. Raises InputError for an observation of another shape.
        """
        space = self.environment.observation_space
        if is_simple(space) and np.shape(obs) != tuple(space.shape):
            raise InputError(
                f"act takes one observation, of shape {tuple(space.shape)}, got {np.shape(obs)}; "
                "for a batch use jax.vmap or predict"
            )
        obs = jnp.asarray(obs) if is_simple(space) else obs
        return self.algorithm.arrays().act(self.environment.arrays(), self.state, memory, obs, key, explore)

    def predict(
        self,
        observation: Any,
        state: Memory | None = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Memory | None]:
        """Actions for one observation or for a batch of them, with Stable-Baselines3's signature.

        Args:
          observation: [*obs] or [n, *obs].
          state: the state that the call before returned; None at the first call.
          episode_start: [] or [n] bool, whether an episode begins, so that the memory is reset.
          deterministic: True for greedy actions, False for actions as at the end of training.

        Returns the actions ([*action] or [n, *action]) and the state for the next call, which is None for a
        policy without memory. Discrete observations and actions have the numbers of the library that the
        environment comes from: a Discrete(3, start=5) of Gymnasium has 5, 6 and 7. Raises InputError for an
        observation of another type or shape, and in a function that jax traces.
        """
        obs, single = self._checked(observation)
        memory = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (len(obs), *leaf.shape)), self.memory)
        if state is not None:
            starts = False if episode_start is None else episode_start
            begins = np.broadcast_to(np.asarray(starts, bool), (len(obs),))
            memory = jax.tree.map(functools.partial(_where, begins), memory, state)
        keys = random.split(random.fold_in(self._key, self._calls), len(obs))
        self._calls += 1
        parts = (self.algorithm.arrays(), self.environment.arrays(), self.state)
        act = with_precision(_act_all, PRECISIONS[0])
        action, memory = jax.device_get(act(*parts, memory, obs, keys, not deterministic))
        if single:
            action, memory = jax.tree.map(lambda leaf: leaf[0], (action, memory))
        if isinstance(space := self.environment.action_space, Discrete):
            action = action + np.int32(space.start)
        return np.asarray(action), memory if jax.tree.leaves(memory) else None

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the policy to one file for `Policy.load`: its configs and what `act` uses of its state.

        The file holds no code. Raises InputError if it cannot be written.
        """
        used = _used(self.algorithm, self.environment, self.state)
        leaves = named_leaves(plain(self.state))
        arrays = {f"state/{name}": leaf for name, leaf in leaves.items() if name in used}
        for digest, value in shared_of([self.algorithm, self.environment]).items():
            arrays |= {f"shared/{digest}/{name}": array for name, array in value.flat().items()}
        described = {
            "algorithm": registry.entry_of(self.algorithm),
            "environment": registry.entry_of(self.environment),
            "format": FORMAT,
            "arrays": hash_of(dict(sorted(arrays.items()))),
        }
        try:
            write_arrays(located(path), arrays, {"jaxrl": json.dumps(described)})
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
        return located(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], seed: int = 0) -> Self:
        """The policy in a file that `save` wrote.

        Raises InputError for any other file, or if a module would have to be imported.
        """
        file = located(path)
        arrays, described = _read(file)
        groups: dict[str, dict[str, np.ndarray]] = {}  # of shared arrays, by their hash
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            if kind == "shared":
                digest, _, inner = rest.partition("/")
                groups.setdefault(digest, {})[inner] = array
        known = {digest: shared_from(flat) for digest, flat in groups.items()}
        algorithm = configured_entry(described["algorithm"], Algorithm, known)
        environment = configured_entry(described["environment"], Environment, known)
        shapes = jax.eval_shape(algorithm.arrays().init, environment.arrays(), random.key(0))
        used = _used(algorithm, environment, shapes)
        # A leaf that `act` does not read is replaced by 0.
        found = [
            restored(file, name, leaf, arrays.get(f"state/{name}")) if name in used else jnp.float32(0)
            for name, leaf in named_leaves(shapes).items()
        ]
        return cls(algorithm, environment, jax.tree.unflatten(jax.tree.structure(shapes), found), seed)

    def _checked(self, observation: Any) -> tuple[np.ndarray, bool]:
        """Observations [n, *obs] of the space's type, and whether a single one was given."""
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(observation)):
            raise InputError("predict runs on the host; in a function that jax traces, use act")
        space, obs = self.environment.observation_space, np.asarray(observation)
        if not np.can_cast(obs.dtype, space.dtype, "same_kind"):
            raise InputError(f"observation must be made of {np.dtype(space.dtype)}, got {observation!r}")
        single = obs.shape == tuple(space.shape)
        if not single and obs.shape[1:] != tuple(space.shape):
            raise InputError(
                f"observation must have shape {space.shape}, or one more axis for a batch, got {obs.shape}"
            )
        if isinstance(space, Discrete):
            first, last = space.start, space.start + space.n - 1
            if not np.all((obs >= first) & (obs <= last)):
                raise InputError(f"observation must be in [{first}, {last}], got {obs}")
            obs = obs - first
        return (obs[None] if single else obs).astype(space.dtype), single


@functools.partial(jax.jit, static_argnames="explore")
def _act_all(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    memory: Memory,
    obs: Array,
    keys: Array,
    explore: bool,
) -> tuple[Array, Memory]:
    """Actions and memories for n observations. Runs of one program share the compilation."""
    act = functools.partial(algorithm.act, env, state, explore=explore)
    return jax.vmap(act)(memory, obs, keys)


def _used(algorithm: Algorithm, environment: Environment, state: State) -> set[str]:
    """The names of the leaves of a state, or of its shapes, that `act` reads."""
    env = environment.arrays()
    obs = jax.eval_shape(lambda key: env.observe(env.reset(key)), random.key(0))

    def act(state: State, memory: Memory, obs: Array, key: Array) -> Any:
        both = (False, True)
        return [algorithm.arrays().act(env, state, memory, obs, key, explore) for explore in both]

    memory = algorithm.memory(env)
    jaxpr = jax.make_jaxpr(act)(state, memory, obs, random.key(0)).jaxpr
    read = {id(var) for eqn in jaxpr.eqns for var in eqn.invars} | {id(var) for var in jaxpr.outvars}
    return {name for name, var in zip(named_leaves(state), jaxpr.invars, strict=False) if id(var) in read}


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and description of a file. Raises InputError unless `Policy.save` of this format wrote it."""
    arrays, metadata = read_arrays(path)
    try:
        described = json.loads(metadata["jaxrl"])
        format, digest = described["format"], described["arrays"]
        configs = {kind: described[kind] for kind in ("algorithm", "environment")}
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"{path} is not a policy that jaxrl has saved") from None
    if format != FORMAT:
        raise InputError(f"{path} is a policy of format {format}, this jaxrl reads {FORMAT}")
    if digest != hash_of(dict(sorted(arrays.items()))):
        raise InputError(f"{path} was altered: its arrays do not match its hash")
    return arrays, configs


def _where(begins: np.ndarray, new: np.ndarray, old: Any) -> np.ndarray:
    """Each of n memories [n, ...], anew where an episode begins. A single one may lack the axis."""
    return np.where(begins.reshape(-1, *[1] * (new.ndim - 1)), new, np.reshape(old, new.shape))
