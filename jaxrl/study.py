"""A study: runs, a budget and an evaluation protocol; what users say of them, checked."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import inspect
import itertools
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxrl import registry
from jaxrl.algorithm import Algorithm
from jaxrl.config import Config
from jaxrl.environment import Environment, check_contract
from jaxrl.errors import InputError, unknown
from jaxrl.generators import DEFAULT, GENERATORS

C = TypeVar("C", bound=Config)
MAX_COUNT = 2**31 - 1  # int32 counts steps
MAX_SEEDS = 1_000_000
READERS = {
    *("__init__.py", "__main__.py", "cli.py", "text.py", "results.py", "reproduce.py", "scoring.py"),
    *("comparing.py", "selecting.py", "exporting.py", "sinks.py"),
}

# Columns of the table of runs beside the hyper-parameters and the environment's "env.<field>".
COLUMNS = {
    "run",
    "environment",
    "algorithm",
    "seed",
    "status",
    "steps",
    "solved_return",
    "failed_iteration",
    "failed_metric",
}


class Run(NamedTuple):
    id: int
    environment: Environment
    algorithm: Algorithm
    seed: int
    block: int = 0  # of seeds: 0 as the study began, then one for each extension

    @property
    def program(self) -> Any:
        """What it shares with all runs that one compilation serves."""
        return jax.tree.structure((self.environment, self.algorithm))


class Chunk(NamedTuple):
    """Iterations between two visits of the host: start to stop - 1, in a run planned for `total`."""

    start: int
    stop: int
    total: int


@dataclasses.dataclass(frozen=True)
class Study:
    """Every environment with every algorithm and every seed, a budget and an evaluation protocol."""

    environments: tuple[Environment, ...]
    algorithms: tuple[Algorithm, ...]
    seeds: tuple[int, ...]
    steps: int  # environment steps of each run, rounded down to whole iterations
    evaluate_every: int  # environment steps of a chunk, about: chunks are even and of whole iterations
    evaluation_episodes: int  # greedy episodes of one evaluation
    prng: str  # name of the generator
    more_seeds: tuple[tuple[int, ...], ...] = ()  # of each extension by seeds
    more_steps: tuple[int, ...] = ()  # the larger budget of each extension by steps

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
        """All runs; a run's id is its place here, which an extension does not change."""
        members = [
            (env, algorithm, seed, block)
            for block, seeds in enumerate((self.seeds, *self.more_seeds))
            for env in self.environments
            for algorithm in self.algorithms
            for seed in seeds
        ]
        return [Run(id, *member) for id, member in enumerate(members)]

    def steps_of(self, algorithm: Algorithm) -> int:
        """The budget in whole iterations of an algorithm, as environment steps."""
        budget = (self.steps, *self.more_steps)[-1]
        return budget // algorithm.steps_per_iteration * algorithm.steps_per_iteration

    def chunks(self, algorithm: Algorithm) -> list[Chunk]:
        """What the runs of an algorithm go through, evaluated after each: first an empty chunk, at 0.

        An extension by steps goes on where the smaller budget ended; schedules follow the new total.
        """
        totals = [steps // algorithm.steps_per_iteration for steps in (self.steps, *self.more_steps)]
        chunks = [Chunk(0, 0, totals[0])]
        for start, total in itertools.pairwise([0, *totals]):
            count = max(round((total - start) * algorithm.steps_per_iteration / self.evaluate_every), 1)
            marks = np.unique(np.linspace(start, total, count + 1).round().astype(int)).tolist()
            chunks += [Chunk(*bounds, total) for bounds in itertools.pairwise(marks)]
        return chunks

    def extended(self, seeds: tuple[int, ...] = (), steps: int | None = None) -> "Study":
        """This study with further seeds, a larger budget, or both.

        Raises InputError for a seed that it has already, or a budget that gives no further iteration.
        """
        if steps is not None:
            require_count("steps", steps)
        shared = {seed for known in (self.seeds, *self.more_seeds) for seed in known} & {*seeds}
        if shared:
            raise InputError(f"the study has seed {min(shared)} already; extend it by seeds that are new")
        longest = max(self.steps_of(algorithm) for algorithm in self.algorithms)
        coarsest = max(algorithm.steps_per_iteration for algorithm in self.algorithms)
        if steps is not None and steps < longest + coarsest:
            raise InputError(
                f"the runs have {longest} steps; extend them to {longest + coarsest} or more, got {steps}"
            )
        return dataclasses.replace(
            self,
            more_seeds=(*self.more_seeds, seeds) if seeds else self.more_seeds,
            more_steps=self.more_steps if steps is None else (*self.more_steps, steps),
        )

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
            "more_seeds": [list(seeds) for seeds in self.more_seeds],
            "more_steps": list(self.more_steps),
        }


def make_study(
    algorithm: Algorithm | Sequence[Algorithm],
    environment: Environment | Sequence[Environment],
    *,
    seeds: int | str | Iterable[int],
    steps: int,
    evaluate_every: int | None = None,
    evaluation_episodes: int = 10,
    prng: str = DEFAULT,
) -> Study:
    """The study that arguments as of `jaxrl.train` describe. Raises InputError for what cannot be trained."""
    steps = require_count("steps", steps)
    every = max(steps // 50, 1) if evaluate_every is None else evaluate_every
    study = Study(
        environments=_as_tuple(environment),
        algorithms=_as_tuple(algorithm),
        seeds=parse_seeds(seeds),
        steps=steps,
        evaluate_every=require_count("evaluate_every", every),
        evaluation_episodes=require_count("evaluation_episodes", evaluation_episodes),
        prng=prng,
    )
    study.validate()
    return study


def study_of(manifest: Mapping[str, Any]) -> Study:
    """The study that a manifest describes.

    Raises InputError for a name that is registered no more, or an entry that is missing or was altered.
    """
    spec = manifest["study"]

    def configured(entry: Mapping[str, Any], find: Callable[[str], Config]) -> Any:
        name, values, _ = operator.itemgetter("name", "parameters", "code")(entry)
        lists = {field: tuple(value) for field, value in values.items() if isinstance(value, list)}
        return find(name).with_values(**(values | lists))

    try:
        check_prng(spec["prng"])
        return Study(
            environments=tuple(configured(e, registry.environment) for e in spec["environments"]),
            algorithms=tuple(configured(a, registry.algorithm) for a in spec["algorithms"]),
            seeds=parse_seeds(spec["seeds"]),
            steps=require_count("steps", spec["steps"]),
            evaluate_every=require_count("evaluate_every", spec["evaluate_every"]),
            evaluation_episodes=require_count("evaluation_episodes", spec["evaluation_episodes"]),
            prng=spec["prng"],
            more_seeds=tuple(map(parse_seeds, spec["more_seeds"])),
            more_steps=tuple(require_count("more_steps", steps) for steps in spec["more_steps"]),
        )
    except KeyError as error:
        raise InputError(f"the manifest is damaged: an entry of its study lacks {error}") from None
    except (TypeError, AttributeError):
        raise InputError("the manifest is damaged: its study cannot be read") from None


def require_count(name: str, value: Any) -> int:
    """The value as an int. Raises InputError unless it is an integer of at least 1 that fits int32."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} must be an integer of at least 1, got {value!r}")
    if value > MAX_COUNT:
        raise InputError(f"{name} must be at most {MAX_COUNT}, got {value!r}")
    return int(value)


def parse_seeds(seeds: int | str | Iterable[int], first: int = 0) -> tuple[int, ...]:
    """Seeds from a count (128: that many from `first` on), a text ("128" or "100:200") or distinct integers.

    Raises InputError for none of them, duplicates, or an integer outside [0, 2³²).
    """
    listed: Sequence[int]
    expected = "seeds must be a count, a range first:end or distinct integers in [0, 2^32)"
    try:
        if isinstance(seeds, str):
            bounds = [int(part) for part in seeds.split(":")]
            bounds = bounds if len(bounds) > 1 else [first, first + bounds[0]]
            listed = range(*bounds) if len(bounds) == 2 else ()
        elif isinstance(seeds, bool):
            listed = ()
        elif isinstance(seeds, int | np.integer):
            listed = range(first, first + int(seeds))
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
    """Raises InputError unless there is a generator of this name, whose keys are independent in a batch."""
    if name in ("rbg", "unsafe_rbg"):
        raise InputError(
            f"prng {name!r} draws all lanes' bits from the first lane's key, so that a run would depend "
            f"on its neighbours; use {DEFAULT}"
        )
    if name not in GENERATORS:
        raise unknown("prng", str(name), GENERATORS)


def _as_tuple(configs: C | Sequence[C]) -> tuple[C, ...]:
    return tuple(configs) if isinstance(configs, Sequence) and not isinstance(configs, str) else (configs,)


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


def code_hash(cls: type[Config]) -> str:
    """A hash of the source of the modules of a class and of its bases, as far as there are files of it, and
    of the versions of its `packages`."""
    sources: dict[str, None] = {}  # of each module once, in order
    for ancestor in cls.__mro__:
        with contextlib.suppress(OSError, TypeError):
            sources[inspect.getsource(_source_of(ancestor))] = None
    versions = [importlib.metadata.version(package) for package in cls.packages]
    return hashlib.sha256("".join([*sources, *versions]).encode()).hexdigest()[:16]


def _source_of(cls: type) -> Any:
    """The module of a class, as its helpers and constants are part of it; the class alone where the module is
    a script, which also says what is trained, or has no file."""
    module = sys.modules.get(cls.__module__)
    has_file = getattr(module, "__file__", None) is not None
    return module if has_file and cls.__module__ != "__main__" else cls


def source_hash() -> str:
    """A hash of what trains: this package's source but for what only reads results, and the algorithms."""
    folder = Path(__file__).parent
    files = sorted({*folder.glob("*.py")} - {folder / name for name in READERS})
    files += sorted(folder.glob("algorithms/*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
