"""A study's runs, and the plan: runs -> programs -> batches of one fixed width.

A program is what one compilation serves: all runs whose (environment, algorithm) have the same tree
structure, static fields included. A batch is a program executed on exactly `width` lanes of each device;
the bits of a run depend on that width and on whether the lanes are spread over several devices, but
neither on its lane, nor on its neighbours, nor on how many devices they are.
"""

import contextlib
import dataclasses
import hashlib
import inspect
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array, random
from jax.sharding import AxisType, PartitionSpec

from jaxrl import registry
from jaxrl.algorithm import Algorithm
from jaxrl.config import Config, stack
from jaxrl.environment import Environment, check_contract
from jaxrl.errors import InputError

MAX_COUNT = 2**31 - 1  # int32 counts steps
MAX_SEEDS = 1_000_000
MAX_WIDTH = 256  # lanes of a device unless the user says otherwise; beyond it a CPU gains nothing


# Columns of the table of runs beside the hyper-parameters and the environment's "env.<field>".
COLUMNS = {"run", "environment", "algorithm", "seed", "status", "steps", "solved_return"}


class Run(NamedTuple):
    id: int
    environment: Environment
    algorithm: Algorithm
    seed: int


@dataclasses.dataclass(frozen=True)
class Study:
    """Every environment with every algorithm and every seed, a budget and an evaluation protocol."""

    environments: tuple[Environment, ...]
    algorithms: tuple[Algorithm, ...]
    seeds: tuple[int, ...]
    steps: int  # environment steps of each run, rounded down to whole iterations
    evaluate_every: int  # environment steps of a chunk, about: chunks are even and of whole iterations
    evaluation_episodes: int  # greedy episodes of one evaluation
    prng: str  # jax's name of the generator

    def validate(self) -> None:
        """Raises InputError for the first thing that is wrong."""
        _require(Environment, self.environments)
        _require(Algorithm, self.algorithms)
        for name in ("steps", "evaluate_every", "evaluation_episodes"):
            require_count(name, getattr(self, name))
        for environment in self.environments:
            environment.validate()
            check_contract(environment)
        for algorithm in self.algorithms:
            algorithm.validate()
            for environment in self.environments:
                algorithm.validate_for(environment)
            if self.steps < algorithm.steps_per_iteration:
                raise InputError(
                    f"steps must be at least one iteration of {type(algorithm).__name__}, "
                    f"{algorithm.steps_per_iteration} steps, got {self.steps}"
                )
        check_prng(self.prng)

    def runs(self) -> list[Run]:
        """All runs; a run's id is its place here."""
        settings = [(env, algorithm) for env in self.environments for algorithm in self.algorithms]
        return [
            Run(i * len(self.seeds) + j, env, algorithm, seed)
            for i, (env, algorithm) in enumerate(settings)
            for j, seed in enumerate(self.seeds)
        ]

    def steps_of(self, algorithm: Algorithm) -> int:
        """The budget in whole iterations of an algorithm, as environment steps."""
        return self.steps // algorithm.steps_per_iteration * algorithm.steps_per_iteration

    def marks(self, algorithm: Algorithm) -> list[int]:
        """The iterations of an algorithm after which its runs are evaluated and recorded, from 0 on."""
        total = self.steps // algorithm.steps_per_iteration
        chunks = max(round(self.steps / self.evaluate_every), 1)
        return np.unique(np.linspace(0, total, chunks + 1).round().astype(int)).tolist()

    def spec(self) -> dict[str, Any]:
        """The study as plain JSON values."""

        def named(configs: Sequence[Any], registered: dict[str, Any]) -> list[dict[str, Any]]:
            return [
                {
                    "name": registry.name_of(config, registered),
                    "parameters": config.parameters(),
                    "code": code_hash(type(config)),
                }
                for config in configs
            ]

        return {
            "environments": named(self.environments, registry.environments()),
            "algorithms": named(self.algorithms, registry.algorithms()),
            "seeds": list(self.seeds),
            "steps": self.steps,
            "evaluate_every": self.evaluate_every,
            "evaluation_episodes": self.evaluation_episodes,
            "prng": self.prng,
        }


@dataclasses.dataclass(frozen=True)
class Batch:
    """Runs of one program, at most one a lane; the last one fills the lanes that are left."""

    index: int
    width: int  # lanes of each device
    runs: tuple[Run, ...]
    devices: int = 1

    def lanes(self, prng: str) -> tuple[Algorithm, Environment, Array, Array]:
        """Of all lanes, stacked: algorithms, environments, keys of training, keys of evaluation. [lanes]"""
        padded = [*self.runs, *[self.runs[-1]] * (self.width * self.devices - len(self.runs))]
        seeds = np.asarray([run.seed for run in padded], np.uint32)
        run_keys = jax.vmap(random.fold_in, (None, 0))(random.key(0, impl=prng), seeds)
        keys = jax.vmap(random.split)(run_keys)
        algorithm = stack([run.algorithm for run in padded])
        return algorithm, stack([run.environment for run in padded]), keys[:, 0], keys[:, 1]


@dataclasses.dataclass(frozen=True)
class Plan:
    programs: int
    width: int  # lanes of each device
    batches: tuple[Batch, ...]
    devices: int

    @property
    def state_bytes(self) -> int:
        """Memory of the largest batch's states: parameters, optimisers, replay and episodes of all lanes."""
        return self.width * self.devices * max(state_bytes(batch.runs[0]) for batch in self.batches)

    def __str__(self) -> str:
        runs = sum(len(batch.runs) for batch in self.batches)
        parts = (counted(runs, "run"), counted(self.programs, "program"))
        batches = f"{counted(len(self.batches), 'batch')} of width {self.width}"
        batches += f" on each of {self.devices} devices" if self.devices > 1 else ""
        return f"{', '.join(parts)}, {batches}, {self.state_bytes / 1e6:,.1f} MB of states"


def make_plan(runs: Sequence[Run], width: int | None = None, devices: int | None = None) -> Plan:
    """Groups runs into programs and these into batches for `devices`, all local ones by default.

    Without a `width`, the least that serves the largest program in as few batches as MAX_WIDTH allows.
    Raises InputError for a width below 1.
    """
    devices = jax.local_device_count() if devices is None else devices
    programs: dict[Any, list[Run]] = {}
    for run in runs:
        identity = jax.tree.structure((run.environment, run.algorithm))
        programs.setdefault(identity, []).append(run)
    if width is None:
        most = max(len(members) for members in programs.values())
        width = math.ceil(most / devices / math.ceil(most / devices / MAX_WIDTH))
    width = require_count("width", width)
    lanes = width * devices
    groups = [
        tuple(members[i : i + lanes]) for members in programs.values() for i in range(0, len(members), lanes)
    ]
    batches = [Batch(index, width, group, devices) for index, group in enumerate(groups)]
    return Plan(len(programs), width, tuple(batches), devices)


def per_device(function: Callable[..., Any], lanes: tuple[Any, ...], *same: Any) -> Any:
    """`function(*lanes, *same)` on all local devices at once, each with an equal part of the lanes.

    Every leaf of `lanes` and of what the function gives has a leading axis [lanes]; `same` goes to all.
    The devices exchange nothing and none waits for another. Lanes that cannot be divided evenly stay on
    one device.
    """
    devices, count = jax.local_devices(), jax.tree.leaves(lanes)[0].shape[0]
    if len(devices) == 1 or count % len(devices):
        return function(*lanes, *same)
    mesh = jax.make_mesh((len(devices),), ("lanes",), axis_types=(AxisType.Auto,), devices=devices)
    split = PartitionSpec("lanes")
    specs = (split,) * len(lanes) + (PartitionSpec(),) * len(same)
    spread = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    return spread(*lanes, *same)


def state_bytes(run: Run) -> int:
    """Bytes of one lane's state, from its shapes."""
    state = jax.eval_shape(run.algorithm.init, run.environment.arrays(), random.key(0))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def require_count(name: str, value: Any) -> int:
    """The value as an int. Raises InputError unless it is an integer of at least 1 that fits int32."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} must be an integer of at least 1, got {value!r}")
    if value > MAX_COUNT:
        raise InputError(f"{name} must be at most {MAX_COUNT}, got {value!r}")
    return int(value)


def parse_seeds(seeds: int | str | Iterable[int]) -> tuple[int, ...]:
    """Seeds from a count (128: 0 to 127), a text ("128" or "100:200") or distinct integers.

    Raises InputError for none of them, duplicates, or an integer outside [0, 2³²).
    """
    listed: Sequence[int]
    expected = "seeds must be a count, a range first:end or distinct integers in [0, 2^32)"
    try:
        if isinstance(seeds, str):
            bounds = [int(part) for part in seeds.split(":")]
            listed = range(*bounds) if len(bounds) <= 2 else ()
        elif isinstance(seeds, bool):
            listed = ()
        elif isinstance(seeds, int | np.integer):
            listed = range(seeds)
        else:
            listed = tuple(operator.index(seed) for seed in seeds)
    except (TypeError, ValueError):
        listed = ()
    if len(listed) > MAX_SEEDS:
        raise InputError(f"seeds must be at most {MAX_SEEDS:,}, got {seeds!r}")
    valid = len(listed) == len(set(listed)) and all(0 <= seed < 2**32 for seed in listed)
    if not listed or not valid:
        raise InputError(f"{expected}, at least one, got {seeds!r}")
    return tuple(listed)


def check_prng(name: str) -> None:
    """Raises InputError unless jax knows a generator of this name whose keys are independent in a batch."""
    if name in ("rbg", "unsafe_rbg"):
        raise InputError(
            f"prng {name!r} draws all lanes' bits from the first lane's key, so that a run would depend "
            "on its neighbours; use threefry2x32"
        )
    try:
        if not isinstance(name, str):
            raise ValueError
        random.key(0, impl=name)
    except ValueError:
        raise InputError(f"unknown prng {name!r}: use threefry2x32") from None


def _require(kind: type[Config], configs: Sequence[Any]) -> None:
    """Raises InputError unless these are distinct instances of Environment or of Algorithm."""
    what = kind.__name__.lower()
    if not configs:
        raise InputError(f"a study needs at least one {what}, got none")
    for i, config in enumerate(configs):
        if isinstance(config, type):
            raise InputError(f"the {what} must be an instance: write {config.__name__}()")
        if not isinstance(config, kind):
            raise InputError(f"the {what} must be an instance of {kind.__name__}, got {config!r}")
        if config in configs[:i]:
            raise InputError(f"the study has the {what} {config} twice; its runs would be the same")
        reserved = COLUMNS & {*config.parameters()}
        if kind is Algorithm and reserved:
            raise InputError(
                f"{type(config).__name__} has a field {min(reserved)!r}, which is the name of another "
                "column of the table of runs; call it something else"
            )


def code_hash(cls: type) -> str:
    """A hash of the source of a class and of those it derives from, as far as there are files of it."""
    sources = []
    for ancestor in cls.__mro__:
        with contextlib.suppress(OSError, TypeError):
            sources.append(inspect.getsource(ancestor))
    return hashlib.sha256("".join(sources).encode()).hexdigest()[:16]


def counted(count: int, noun: str) -> str:
    """ "1 batch", "2 batches"."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{count:,} {noun if count == 1 else plural}"
