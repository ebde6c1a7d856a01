"""The results folder: manifest, tables and final states; writing it, and reading it back.

    manifest.json     the study, the plan, versions and device, status, seconds of each batch
    runs.parquet      one row a run: run, environment, algorithm, seed, status, steps, solved_return,
                      every hyper-parameter, and every field of the environment as "env.<field>"
    curves.parquet    one row a value: run, step, metric, value
    parts/            the curves of a study under way, a file for each batch and step
    checkpoints/      the final state of each batch

Nothing in it is code. Files appear whole or not at all.
"""

import contextlib
import dataclasses
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, random

from jaxrl import registry
from jaxrl.algorithm import Algorithm, State
from jaxrl.config import Config, shown
from jaxrl.environment import Discrete, Environment
from jaxrl.errors import InputError, unknown
from jaxrl.plan import Batch, Plan, Run, Study, make_plan
from jaxrl.version import VERSION

FORMAT = 1  # of the folder; a reader refuses what is newer


@dataclasses.dataclass(frozen=True, repr=False)
class Results:
    """What a study found."""

    path: Path
    manifest: dict[str, Any]
    runs: pd.DataFrame  # one row a run, columns as above
    curves: pd.DataFrame  # run, step (environment steps), metric, value

    def __repr__(self) -> str:
        return f"Results({str(self.path)!r}, {len(self.runs)} runs)"

    def metric(self, name: str) -> pd.DataFrame:
        """One metric as a table: index run, columns step. Raises InputError for an unknown name."""
        known = self.curves.metric.unique()
        if name not in known:
            raise unknown("metric", name, known)
        return self.curves[self.curves.metric == name].pivot(index="run", columns="step", values="value")

    def final(self, name: str = "eval_return") -> pd.Series:
        """Each run's last value of a metric, NaN for a failed run: index run.

        Raises InputError for an unknown name.
        """
        last = self.metric(name).ffill(axis=1).iloc[:, -1].reindex(self.runs.run)
        return last.where((self.runs.status != "failed").to_numpy())

    def policy(self, run: int, *, explore: bool = False) -> Callable[[Any, Array], Array]:
        """The final policy of a run as a function (observation, key) -> action.

        Greedy, or as at the end of training if `explore`. Raises InputError for an unknown run; the
        function does for an observation of the wrong shape.
        """
        batch, lane = self._find(run)
        algorithm, env, state = jax.tree.map(lambda leaf: leaf[lane], self._final(batch))
        space = env.observation_space

        def policy(obs: Any, key: Array) -> Array:
            if not _is_key(key):
                raise InputError(f"key must be a typed key such as jax.random.key(0), got {key!r}")
            given, obs = obs, np.asarray(obs)
            if not np.can_cast(obs.dtype, space.dtype, "same_kind"):
                raise InputError(f"observation must be made of {np.dtype(space.dtype)}, got {given!r}")
            if obs.shape != space.shape:
                raise InputError(f"observation must have shape {space.shape}, got {obs.shape}")
            if isinstance(space, Discrete) and not 0 <= obs < space.n:
                raise InputError(f"observation must be in [0, {space.n - 1}], got {obs}")
            obs = jnp.asarray(obs, space.dtype)
            return act(algorithm, env, state, obs, key, explore)

        return policy

    def _find(self, run: int) -> tuple[Batch, int]:
        """The batch and the lane of a run."""
        study = study_of(self.manifest)
        plan = self.manifest["plan"]
        for batch in make_plan(study.runs(), plan["width"], plan["devices"]).batches:
            for lane, member in enumerate(batch.runs):
                if member.id == run:
                    return batch, lane
        raise InputError(f"run must be in [0, {len(self.runs) - 1}], got {run!r}")

    def _final(self, batch: Batch) -> tuple[Any, Any, State]:
        """Algorithm, environment and final state of all lanes of a batch."""
        prng = self.manifest["study"]["prng"]
        algorithm, env, keys, _ = batch.lanes(prng)
        shapes = jax.eval_shape(jax.vmap(lambda a, e, key: a.init(e, key)), algorithm, env, keys)
        return algorithm, env, read_state(checkpoint_path(self.path, batch.index), shapes, prng)


@functools.partial(jax.jit, static_argnames="explore")
def act(algorithm: Algorithm, env: Environment, state: State, obs: Array, key: Array, explore: bool) -> Array:
    """The action of one run's policy; runs of one program share the compilation."""
    return algorithm.act(env, state, obs, key, explore)


def load(path: str | os.PathLike[str]) -> Results:
    """Reads a complete results folder. Raises InputError for anything else."""
    return Folder(Path(path)).load()


@dataclasses.dataclass(frozen=True)
class Folder:
    """A results folder, to be written or read."""

    path: Path

    def holds_complete(self, study: Study, plan: Plan) -> bool:
        """Whether the folder holds this study, complete.

        Raises InputError if it holds another study, an unfinished one, or anything else.
        """
        try:
            if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
                return False
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror}") from None
        manifest = self.manifest()
        width, devices, version = (
            *(manifest["plan"][name] for name in ("width", "devices")),
            manifest["jaxrl"],
        )
        theirs = manifest["study"] | {"width": width, "devices": devices > 1, "jaxrl": version}
        ours = study.spec() | {"width": plan.width, "devices": plan.devices > 1, "jaxrl": VERSION}
        ours = json.loads(json.dumps(ours))
        differing = [name for name, value in ours.items() if theirs.get(name) != value]
        if differing:
            raise InputError(
                f"{self.path} holds another study, which differs in {', '.join(differing)}; "
                "choose another folder"
            )
        if manifest["status"] != "complete":
            raise InputError(f"{self.path} holds this study unfinished; remove it or choose another folder")
        return True

    def create(self, study: Study, plan: Plan) -> None:
        """Makes the folder with manifest and table of runs. Raises InputError if it cannot be written."""
        manifest = {
            "format": FORMAT,
            "jaxrl": VERSION,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "status": "running",
            "study": study.spec(),
            "plan": {
                "programs": plan.programs,
                "batches": len(plan.batches),
                "width": plan.width,
                "devices": plan.devices,
            },
            "machine": machine(),
            "seconds": [],
            "failed": [],
        }
        runs = runs_table(study)
        with self._writing():
            (self.path / "parts").mkdir(parents=True)
            self._write_manifest(manifest)
            _write_table(self.path / "runs.parquet", runs)

    def record(self, batch: Batch, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Keeps one value per metric and lane ([lanes] each) reached after `step` environment steps."""
        count = len(batch.runs)
        frames = [
            pd.DataFrame(
                {
                    "run": np.array([run.id for run in batch.runs], np.int32),
                    "step": np.int64(step),
                    "metric": name,
                    "value": np.asarray(lanes[:count], np.float64),
                }
            )
            for name, lanes in values.items()
        ]
        part = self.path / "parts" / f"{batch.index:05d}-{step:015d}.parquet"
        with self._writing():
            _write_table(part, pd.concat(frames))

    def save_batch(
        self, batch: Batch, state: State, finite: np.ndarray, seconds: Mapping[str, float]
    ) -> None:
        """Saves the final state of a batch, and notes the time it took and the runs that failed."""
        manifest = self.manifest()
        failed = [run.id for run, ok in zip(batch.runs, finite, strict=False) if not ok]
        manifest["failed"] += failed
        manifest["seconds"].append({"runs": [run.id for run in batch.runs], **seconds})
        with self._writing():
            write_state(checkpoint_path(self.path, batch.index), state)
            self._write_manifest(manifest)

    def finish(self, study: Study) -> None:
        """Joins the parts into the final tables and marks the study complete."""
        manifest = self.manifest()
        parts = sorted((self.path / "parts").glob("*.parquet"))
        curves = pd.concat([pd.read_parquet(part) for part in parts])
        curves = curves.sort_values(["run", "metric", "step"], ignore_index=True)
        with self._writing():
            _write_table(self.path / "curves.parquet", curves)
            _write_table(self.path / "runs.parquet", runs_table(study, manifest["failed"]))
            self._write_manifest(manifest | {"status": "complete"})
            shutil.rmtree(self.path / "parts")

    def load(self) -> Results:
        """Reads the folder. Raises InputError unless it is a complete study."""
        manifest = self.manifest()
        if manifest["status"] != "complete":
            raise InputError(f"{self.path} holds an unfinished study")
        tables = []
        for name in ("runs.parquet", "curves.parquet"):
            try:
                tables.append(pd.read_parquet(self.path / name))
            except (OSError, ValueError) as error:
                raise InputError(f"{self.path / name} cannot be read: {error}") from None
        return Results(self.path, manifest, *tables)

    def manifest(self) -> dict[str, Any]:
        """The manifest. Raises InputError if there is none that this version can read."""
        file = self.path / "manifest.json"
        try:
            manifest = json.loads(file.read_text())
            newer = manifest["format"] > FORMAT
            if not {"status", "study", "plan", "jaxrl"} <= manifest.keys():
                raise KeyError
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.path} is not a results folder: it has no readable manifest.json"
            ) from None
        if newer:
            raise InputError(
                f"{self.path} has format {manifest['format']}, newer than this jaxrl reads ({FORMAT})"
            )
        return manifest

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns what the file system refuses, a full disk for one, into an InputError."""
        try:
            yield
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        file = self.path / "manifest.json"
        with _appearing_whole(file) as temporary:
            temporary.write_text(json.dumps(manifest, indent=2))


def study_of(manifest: Mapping[str, Any]) -> Study:
    """The study of a manifest. Raises InputError for a name that is registered no more."""
    spec = manifest["study"]

    def configured(entry: Mapping[str, Any], find: Callable[[str], Config]) -> Any:
        parameters = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry["parameters"].items()
        }
        return find(entry["name"]).with_values(**parameters)

    return Study(
        environments=tuple(configured(e, registry.environment) for e in spec["environments"]),
        algorithms=tuple(configured(a, registry.algorithm) for a in spec["algorithms"]),
        seeds=tuple(spec["seeds"]),
        steps=spec["steps"],
        evaluate_every=spec["evaluate_every"],
        evaluation_episodes=spec["evaluation_episodes"],
        prng=spec["prng"],
    )


def runs_table(study: Study, failed: Sequence[int] | None = None) -> pd.DataFrame:
    """One row a run, `running` until it is known which failed; tuples are written as in `--set`."""

    def status(run: Run) -> str:
        return "running" if failed is None else "failed" if run.id in failed else "complete"

    def threshold(run: Run) -> float:
        return np.nan if run.environment.solved_return is None else float(run.environment.solved_return)

    rows = [
        {
            "run": run.id,
            "environment": registry.name_of(run.environment, registry.environments()),
            "algorithm": registry.name_of(run.algorithm, registry.algorithms()),
            "seed": run.seed,
            "status": status(run),
            "steps": study.steps_of(run.algorithm),
            "solved_return": threshold(run),
            **run.algorithm.parameters(),
            **{f"env.{name}": value for name, value in run.environment.parameters().items()},
        }
        for run in study.runs()
    ]
    table = pd.DataFrame(rows)
    for name in [name for name, dtype in table.dtypes.items() if dtype.kind == "O"]:
        kinds = set(table[name].dropna().map(type))
        if len(kinds) > 1 or tuple in kinds:  # a column has one type, so a mixed one becomes text
            table[name] = table[name].dropna().map(shown)
    return table


def machine() -> dict[str, str]:
    """What the bits of a run may depend on besides the study."""
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
        "platform": platform.platform(),
        "device": f"{len(jax.devices())} x {device.device_kind}",
        "cores": str(os.cpu_count()),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def checkpoint_path(folder: Path, batch: int) -> Path:
    """Where the final state of a batch lies."""
    return folder / "checkpoints" / f"batch-{batch:05d}"


def write_state(path: Path, state: State) -> None:
    """Saves a state, typed keys as their data, so that it appears whole or not at all."""
    import orbax.checkpoint as ocp

    def data(leaf: Array) -> np.ndarray:
        return np.asarray(random.key_data(leaf) if _is_key(leaf) else leaf)  # whichever devices it is on

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), jax.tree.map(data, state))


def read_state(path: Path, shapes: State, prng: str) -> State:
    """Reads a state of these shapes that `write_state` saved. Raises InputError if it cannot."""
    import orbax.checkpoint as ocp

    def data(leaf: Any) -> Any:
        return jax.eval_shape(random.key_data, leaf) if _is_key(leaf) else leaf

    def restored(leaf: Any, saved: Array) -> Array:
        return random.wrap_key_data(saved, impl=prng) if _is_key(leaf) else saved

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            saved = checkpointer.restore(path.absolute(), jax.tree.map(data, shapes))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the checkpoint {path} cannot be read: {reason}") from None
    return jax.tree.map(restored, shapes, saved)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with _appearing_whole(path) as temporary:
        table.to_parquet(temporary, index=False)


@contextlib.contextmanager
def _appearing_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place once the block is done."""
    temporary = path.with_name(path.name + ".tmp")
    yield temporary
    os.replace(temporary, path)
