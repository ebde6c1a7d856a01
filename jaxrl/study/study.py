"""A study: runs, a budget and an evaluation protocol, and the checks of what users give."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxrl.columns import RUN_COLUMNS
from jaxrl.compiled.engine import PRECISIONS
from jaxrl.config import Config
from jaxrl.errors import InputError, unknown
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment, check_contract
from jaxrl.mdp.spaces import Composite, Discrete, Space, is_simple
from jaxrl.random.generators import DEFAULT, GENERATORS
from jaxrl.study.evaluations import default_evaluations
from jaxrl.study.seeds import MAX_COUNT, optional_count, parse_seeds, require_count

C = TypeVar("C", bound=Config)

MAX_RUNS = 2_000_000
MAX_EVALUATIONS = 100_000  # of a run


class Run(NamedTuple):
    """A setting, which is an environment and an algorithm, with a seed."""

    id: int
    environment: Environment
    algorithm: Algorithm
    seed: int
    block: int = 0  # of seeds: 0 for the first seeds of the study, then 1 more for each extension
    setting: int = 0  # number of the setting

    @property
    def program(self) -> Any:
        """What all runs of one program have in common: structure, static values and shared arrays."""
        return jax.tree.structure((self.environment, self.algorithm))


class Chunk(NamedTuple):
    """Iterations start to stop - 1, between two visits of the host, in a run planned for `total`."""

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
    evaluate_every: int  # environment steps of a chunk, rounded so that chunks are even and whole iterations
    evaluation_episodes: int  # greedy episodes of one evaluation
    prng: str  # name of the generator
    precision: str = PRECISIONS[0]  # of matrix products
    evaluate_in: tuple[tuple[str, Environment], ...] = ()  # further environments of evaluation, by name
    more_seeds: tuple[tuple[int, ...], ...] = ()  # the further seeds of each extension by seeds
    more_steps: tuple[int, ...] = ()  # the larger budget of each extension by steps
    evaluation_steps: int | None = None  # after which an episode of evaluation is cut

    def validate(self) -> None:
        """Raises InputError if the study cannot be trained."""
        _require(Environment, self.environments)
        _require(Algorithm, self.algorithms)
        for name in ("steps", "evaluate_every", "evaluation_episodes"):
            require_count(name, getattr(self, name))
        self.require_size()
        for environment in self.environments:
            environment.validate()
            check_contract(environment)
        for name, environment in self.evaluate_in:
            environment.validate()
            check_contract(environment)
            for trained_in in self.environments:
                require_same_spaces(f"evaluate_in {name!r}", environment, trained_in)
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
        check_precision(self.precision)

    def require_size(self) -> None:
        """Raises InputError for more than MAX_RUNS runs or more than MAX_EVALUATIONS evaluations of a run."""
        seeds = sum(map(len, (self.seeds, *self.more_seeds)))
        runs = len(self.environments) * len(self.algorithms) * seeds
        if runs > MAX_RUNS:
            raise InputError(f"a study may have at most {MAX_RUNS:,} runs, got {runs:,}")
        budget = max(self.steps, *self.more_steps, 1)
        if budget / self.evaluate_every > MAX_EVALUATIONS:
            least = math.ceil(budget / MAX_EVALUATIONS)
            raise InputError(
                f"evaluate_every must be at least {least} with {budget} steps, since a run may have at most "
                f"{MAX_EVALUATIONS:,} evaluations, got {self.evaluate_every}"
            )

    def runs(self) -> list[Run]:
        """All runs. A run's id is its index in this list; extensions do not change it."""
        settings = [(env, algorithm) for env in self.environments for algorithm in self.algorithms]
        members = [
            (env, algorithm, seed, block, setting)
            for block, seeds in enumerate((self.seeds, *self.more_seeds))
            for setting, (env, algorithm) in enumerate(settings)
            for seed in seeds
        ]
        return [Run(id, *member) for id, member in enumerate(members)]

    def steps_of(self, algorithm: Algorithm) -> int:
        """The budget in environment steps, rounded down to whole iterations of an algorithm."""
        budget = (self.steps, *self.more_steps)[-1]
        return budget // algorithm.steps_per_iteration * algorithm.steps_per_iteration

    def chunks(self, algorithm: Algorithm) -> list[Chunk]:
        """The chunks of an algorithm's runs, with an evaluation after each. The first chunk is empty, at 0.

        An extension by steps continues where the smaller budget ended; its schedules use the new total.
        """
        totals = [steps // algorithm.steps_per_iteration for steps in (self.steps, *self.more_steps)]
        chunks = [Chunk(0, 0, totals[0])]
        for start, total in itertools.pairwise([0, *totals]):
            count = max(round((total - start) * algorithm.steps_per_iteration / self.evaluate_every), 1)
            marks = np.unique(np.linspace(start, total, count + 1).round().astype(int)).tolist()
            chunks += [Chunk(*bounds, total) for bounds in itertools.pairwise(marks)]
        return chunks

    def evaluated_by_default(self) -> "Study":
        """This study with the number of evaluations that it has if nobody says it."""
        cut = self.evaluation_steps or MAX_COUNT
        others = sum(min(int(env.max_steps), cut) for _, env in self.evaluate_in)
        longest = max(min(int(env.max_steps), cut) for env in self.environments) + others
        count = default_evaluations(self.algorithms, self.steps, self.evaluation_episodes * longest)
        return dataclasses.replace(self, evaluate_every=math.ceil(self.steps / count))

    def extended(self, seeds: tuple[int, ...] = (), steps: int | None = None) -> "Study":
        """This study with further seeds, a larger budget, or both.

        Raises InputError for a seed that it has already, or a budget that gives no further iteration.
        """
        if steps is not None:
            steps = require_count("steps", steps)
        shared = {seed for known in (self.seeds, *self.more_seeds) for seed in known} & {*seeds}
        if shared:
            raise InputError(f"the study has seed {min(shared)} already; extend it by new seeds")
        longest = max(self.steps_of(algorithm) for algorithm in self.algorithms)
        coarsest = max(algorithm.steps_per_iteration for algorithm in self.algorithms)
        if steps is not None and steps < longest + coarsest:
            raise InputError(
                f"the runs have {longest} steps; extend them to {longest + coarsest} or more, got {steps}"
            )
        extended = dataclasses.replace(
            self,
            more_seeds=(*self.more_seeds, seeds) if seeds else self.more_seeds,
            more_steps=self.more_steps if steps is None else (*self.more_steps, steps),
        )
        extended.require_size()
        return extended


def make_study(
    algorithm: Algorithm | Sequence[Algorithm],
    environment: Environment | Sequence[Environment],
    *,
    seeds: int | str | Iterable[int],
    steps: int,
    evaluate_every: int | None = None,
    evaluation_episodes: int = 10,
    evaluation_steps: int | None = None,
    evaluate_in: Mapping[str, Environment] | None = None,
    prng: str = DEFAULT,
    precision: str = PRECISIONS[0],
) -> Study:
    """The study that these arguments of `jaxrl.train` describe. Raises InputError if it cannot be trained."""
    steps = require_count("steps", steps)
    study = Study(
        environments=_as_tuple(environment),
        algorithms=_as_tuple(algorithm),
        seeds=parse_seeds(seeds),
        steps=steps,
        evaluate_every=require_count("evaluate_every", steps if evaluate_every is None else evaluate_every),
        evaluation_episodes=require_count("evaluation_episodes", evaluation_episodes),
        prng=prng,
        precision=precision,
        evaluate_in=_named_environments(evaluate_in or {}),
        evaluation_steps=optional_count("evaluation_steps", evaluation_steps),
    )
    study.validate()
    return study if evaluate_every is not None else study.evaluated_by_default()


def check_prng(name: str) -> None:
    """Raises InputError unless a generator has this name and its keys are independent in a batch."""
    if name in ("rbg", "unsafe_rbg"):
        raise InputError(
            f"prng {name!r} draws all lanes' bits from the first lane's key, so that a run would depend "
            f"on its neighbours; use {DEFAULT}"
        )
    if name not in GENERATORS:
        raise unknown("prng", str(name), GENERATORS)


def check_precision(name: str) -> None:
    """Raises InputError unless this is a precision of matrix products."""
    if name not in PRECISIONS:
        raise unknown("precision", str(name), PRECISIONS)


def require_same_spaces(what: str, environment: Environment, trained_in: Environment) -> None:
    """Raises InputError unless two environments' observations and actions have equal shapes and types."""
    for name in ("observation_space", "action_space"):
        ours, theirs = getattr(environment, name), getattr(trained_in, name)
        if _form(ours) != _form(theirs):
            raise InputError(
                f"{what}: {environment.title} does not fit: its {name.replace('_', ' ')} is {_form(ours)}, "
                f"that of {trained_in.title} is {_form(theirs)}"
            )


def _form(space: Space) -> str:
    """A space as text, without the bounds of a Box."""
    if isinstance(space, Composite):
        return str(jax.tree.map(_form, space.parts, is_leaf=is_simple))
    if isinstance(space, Discrete):
        return f"Discrete({space.n})"
    return f"Box{tuple(space.shape)} of {np.dtype(space.dtype)}"


def _named_environments(environments: Mapping[str, Environment]) -> tuple[tuple[str, Environment], ...]:
    """The environments of evaluation by name. Raises InputError for a bad name or a bad environment."""
    if not isinstance(environments, Mapping):
        raise InputError(f"evaluate_in must map names to environments, got {environments!r}")
    for name, environment in environments.items():
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise InputError(f"evaluate_in needs printable names, got {name!r}")
        if not isinstance(environment, Environment):
            raise InputError(f"evaluate_in {name!r} must be an Environment, got {environment!r}")
    return tuple(environments.items())


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
            raise InputError(f"the study has the {what} {config} twice, so runs would be equal; give it once")
        reserved = {"env", *RUN_COLUMNS} & {*config.parameters()}
        if kind is Algorithm and reserved:
            raise InputError(
                f"{type(config).__name__} has a field {min(reserved)!r}, which is the name of another "
                "column of the table of runs; rename the field"
            )
