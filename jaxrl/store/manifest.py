"""The manifest of a results folder: a study, its plan and its machine, to and from plain JSON values."""

import dataclasses
import datetime
import json
import math
import reprlib
import sys
from collections.abc import Mapping
from typing import Any

from jaxrl import registry
from jaxrl.config import Config, Shared
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.store.provenance import code_hash, machine
from jaxrl.study.plan import Plan
from jaxrl.study.seeds import MAX_COUNT, optional_count, parse_seeds
from jaxrl.study.study import MAX_RUNS, Study, check_precision, check_prng
from jaxrl.version import VERSION

FORMAT = 6  # of the folder; other formats are refused
KINDS = ("compile", "train", "evaluate", "save")  # of a batch's wall-clock seconds
# The tables, and the remedy if one is lost.
RUNS_FILE, CURVES_FILE = "runs.parquet", "curves.parquet"
TABLES = {
    RUNS_FILE: "write it again from the checkpoints with: jaxrl resume {path}",
    CURVES_FILE: "train all batches again with: jaxrl resume {path} --rerun all",
}


def is_text(value: Any) -> bool:
    """Whether a value is a text without control characters."""
    return isinstance(value, str) and value.isprintable()


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_COUNT


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _are_indices(value: Any) -> bool:
    """Seeds, or numbers of runs or batches."""
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 2**32 for each in value)


def are_differences(value: Any) -> bool:
    """Whether a value maps names to pairs of texts."""
    pairs = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(pair, list) and len(pair) == 2 and all(map(is_text, pair)) for pair in pairs)


def _are_parameters(value: Any) -> bool:
    scalars = (int, float, bool, str)
    values = [*value.values()] if isinstance(value, dict) else [None]
    items = [item for each in values for item in (each if isinstance(each, list) else [each])]
    return all(type(item) in scalars for item in items)


CONFIG = {"name": _is_name, "parameters": _are_parameters, "code": is_text}
# The form of a manifest: a dict has these entries, each item of a list has this form, a function says whether
# a value is allowed. Other entries are ignored.
FORM = {
    "jaxrl": is_text,
    "created": is_text,
    # A study that is "planned" has no trained batch, and `machine` is the one that planned it.
    "status": lambda value: value in ("planned", "running", "complete"),
    "study": {
        "environments": [CONFIG],
        "algorithms": [CONFIG],
        "seeds": _are_indices,
        "steps": _is_count,
        "evaluate_every": _is_count,
        "evaluation_episodes": _is_count,
        "prng": is_text,
        "precision": is_text,
        "evaluate_in": [{"label": is_text, **CONFIG}],
        "more_seeds": [_are_indices],
        "more_steps": [_is_count],
    },
    "plan": {"programs": _is_count, "batches": _is_count, "width": _is_count, "devices": _is_count},
    "machine": {"jax": is_text, "python": is_text, "device": is_text},
    "resumed": [{"at": is_text, "batches": _are_indices, "differing": are_differences}],
}
FORM_COMPLETE = FORM | {
    "sha256": dict.fromkeys(TABLES, is_text),
    "seconds": [{"runs": _are_indices, **dict.fromkeys(KINDS, _is_seconds)}],
}


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

    Raises InputError for a name that is not known here, a value that its field cannot hold, or an environment
    for which a module would be imported (see `require_imported`).
    """
    spec = manifest["study"]

    def configured(entry: Mapping[str, Any], kind: type[Config]) -> Any:
        return configured_entry(entry, kind, arrays)

    check_prng(spec["prng"])
    check_precision(spec["precision"])
    study = Study(
        environments=tuple(configured(entry, Environment) for entry in spec["environments"]),
        algorithms=tuple(configured(entry, Algorithm) for entry in spec["algorithms"]),
        seeds=parse_seeds(spec["seeds"]),
        steps=spec["steps"],
        evaluate_every=spec["evaluate_every"],
        evaluation_episodes=spec["evaluation_episodes"],
        prng=spec["prng"],
        precision=spec["precision"],
        evaluate_in=tuple((e["label"], configured(e, Environment)) for e in spec["evaluate_in"]),
        more_seeds=tuple(map(parse_seeds, spec["more_seeds"])),
        more_steps=tuple(spec["more_steps"]),
        evaluation_steps=optional_count("evaluation_steps", spec.get("evaluation_steps")),
    )
    study.require_size()
    return study


def configured_entry(entry: Mapping[str, Any], kind: type[Config], arrays: Mapping[str, Shared]) -> Any:
    """The config of an entry that `registry.entry_of` has made and a file has held since.

    Raises InputError as `study_of` does.
    """
    described = isinstance(entry, dict) and _is_name(entry.get("name"))
    if not described or not _are_parameters(entry.get("parameters")):
        raise InputError(f"the file is damaged: {reprlib.repr(entry)} describes no config")
    require_imported(entry)
    try:
        return registry.configured(registry.recorded(kind, entry["name"]), entry["parameters"], arrays)
    except (TypeError, AttributeError):
        raise InputError(f"the parameters of {entry['name']!r} are damaged") from None


def require_imported(entry: Mapping[str, Any]) -> None:
    """Raises InputError if an entry has an id such as gymnasium:MODULE:NAME, and nobody has imported MODULE.

    A folder may come from a stranger, and importing a module runs code.
    """
    named = [("name", entry["name"]), *entry["parameters"].items()]
    for field, value in named:
        if not isinstance(value, str):
            continue
        prefix, _, rest = value.partition(":")
        id = rest if prefix in registry.adapters() else value if field.split(".")[-1] == "name" else ""
        module, colon, _ = id.rpartition(":")
        if colon and module not in sys.modules:
            raise InputError(
                f"the environment {id!r} needs the module {module!r}, and no module is imported because a "
                f"folder names it; if you trust it, import it first: in Python by `import {module}`, on the "
                f"command line by --trust {module}"
            )


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


def parse_manifest(text: str) -> dict[str, Any]:
    """The manifest in a JSON text. Raises InputError, which ends a sentence about the file, for any other."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("is damaged") from None
    format = manifest.get("format") if isinstance(manifest, dict) else None
    if type(format) is not int:
        raise InputError("is damaged: it has no format")
    if format != FORMAT:
        age = "newer" if format > FORMAT else "older"
        raise InputError(f"has format {reprlib.repr(format)}, {age} than this jaxrl reads ({FORMAT})")
    _require_form(manifest, FORM_COMPLETE if manifest.get("status") == "complete" else FORM, "")
    _require_size(manifest)
    return manifest


def runs_in(manifest: Mapping[str, Any]) -> int:
    """The number of runs of the study."""
    spec = manifest["study"]
    seeds = sum(map(len, (spec["seeds"], *spec["more_seeds"])))
    return len(spec["environments"]) * len(spec["algorithms"]) * seeds


def _require_form(value: Any, form: Any, where: str) -> None:
    """Raises InputError unless a value has a form, which is as described at FORM. `where` names the value."""
    if isinstance(form, dict) and isinstance(value, dict):
        for name, inner in form.items():
            place = f"{where}.{name}" if where else name
            if name not in value:
                raise InputError(f"is damaged: it lacks {place!r}")
            _require_form(value[name], inner, place)
    elif isinstance(form, list) and isinstance(value, list):
        for item in value:
            _require_form(item, form[0], where)
    elif isinstance(form, dict | list) or not form(value):
        raise InputError(f"is damaged: {where!r} cannot hold {reprlib.repr(value)}")


def _require_size(manifest: Mapping[str, Any]) -> None:
    """Raises InputError unless the numbers of runs in a manifest agree and are at most MAX_RUNS."""
    runs = runs_in(manifest)
    if not 0 < runs <= MAX_RUNS:
        raise InputError(f"is damaged: a study has 1 to {MAX_RUNS:,} runs, here {runs:,}")
    timed = sorted(run for batch in manifest.get("seconds", ()) for run in batch["runs"])
    if manifest["status"] == "complete" and timed != [*range(runs)]:
        raise InputError("is damaged: 'seconds' does not name each run once")


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
