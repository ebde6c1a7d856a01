"""The manifest of a results folder: a study, its plan and its machine, to and from plain JSON values."""

import dataclasses
import datetime
import operator
from collections.abc import Mapping
from typing import Any

from jaxrl import registry
from jaxrl.config import Config, Shared
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.store.provenance import code_hash, machine
from jaxrl.study.plan import Plan
from jaxrl.study.seeds import parse_seeds, require_count
from jaxrl.study.study import Study, check_precision, check_prng
from jaxrl.version import VERSION

FORMAT = 5  # of the folder; other formats are refused
KINDS = ("compile", "train", "evaluate", "save")  # of a batch's wall-clock seconds
# The tables, and the remedy if one is lost.
TABLES = {
    "runs.parquet": "write it again from the checkpoints with: jaxrl resume {path}",
    "curves.parquet": "train all batches again with: jaxrl resume {path} --rerun all",
}
# The entries that each part of the manifest must have, or each item of a part that is a list.
ENTRIES = {
    "jaxrl": [],
    "created": [],
    "study": [field.name for field in dataclasses.fields(Study)],
    "plan": ["programs", "batches", "width", "devices"],
    "machine": ["jax", "python", "device"],
    "resumed": ["at", "batches", "anew", "differing"],
}
ENTRIES_COMPLETE = {"sha256": [*TABLES], "seconds": ["runs", *KINDS]}


def spec_of(study: Study) -> dict[str, Any]:
    """A study as plain JSON values."""
    return {field.name: getattr(study, field.name) for field in dataclasses.fields(study)} | {
        "environments": [_entry(config) for config in study.environments],
        "algorithms": [_entry(config) for config in study.algorithms],
        "evaluate_in": [{"label": label} | _entry(config) for label, config in study.evaluate_in],
    }


def _entry(config: Config) -> dict[str, Any]:
    return registry.entry_of(config) | {"code": code_hash(config)}


def study_of(manifest: Mapping[str, Any], arrays: Mapping[str, Shared]) -> Study:
    """The study that a manifest describes; `arrays` holds its shared arrays by their hash.

    Raises InputError for a name that is not known here, or an entry that is missing or was altered.
    """
    spec = manifest["study"]

    def configured(entry: Mapping[str, Any], kind: type[Config]) -> Any:
        name, values, _ = operator.itemgetter("name", "parameters", "code")(entry)
        return registry.configured(registry.recorded(kind, name), values, arrays)

    try:
        check_prng(spec["prng"])
        check_precision(spec["precision"])
        return Study(
            environments=tuple(configured(e, Environment) for e in spec["environments"]),
            algorithms=tuple(configured(a, Algorithm) for a in spec["algorithms"]),
            seeds=parse_seeds(spec["seeds"]),
            steps=require_count("steps", spec["steps"]),
            evaluate_every=require_count("evaluate_every", spec["evaluate_every"]),
            evaluation_episodes=require_count("evaluation_episodes", spec["evaluation_episodes"]),
            prng=spec["prng"],
            precision=spec["precision"],
            evaluate_in=tuple((e["label"], configured(e, Environment)) for e in spec["evaluate_in"]),
            more_seeds=tuple(map(parse_seeds, spec["more_seeds"])),
            more_steps=tuple(require_count("more_steps", steps) for steps in spec["more_steps"]),
        )
    except KeyError as error:
        raise InputError(f"the manifest is damaged: an entry of its study lacks {error}") from None
    except (TypeError, AttributeError):
        raise InputError("the manifest is damaged: its study cannot be read") from None


def new_manifest(study: Study, plan: Plan) -> dict[str, Any]:
    """The manifest of a study that begins here and now."""
    return {
        "format": FORMAT,
        "jaxrl": VERSION,
        "created": now(),
        "status": "running",
        "study": spec_of(study),
        "plan": {
            "programs": plan.programs,
            "batches": len(plan.batches),
            "width": plan.width,
            "devices": plan.devices,
        },
        "machine": machine(),
        "resumed": [],
    }


def require_whole(manifest: Mapping[str, Any]) -> None:
    """Raises KeyError for a missing entry of a manifest, InputError for a bad width."""
    complete = manifest["status"] == "complete"
    for part, names in (ENTRIES | (ENTRIES_COMPLETE if complete else {})).items():
        for holder in manifest[part] if isinstance(manifest[part], list) else [manifest[part]]:
            for name in names:
                if name not in holder:
                    raise KeyError(f"{part}.{name}")
    require_count("width", manifest["plan"]["width"])


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
