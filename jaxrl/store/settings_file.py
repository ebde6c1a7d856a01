"""A study's settings as a TOML file, to share them: `jaxrl train --config study.toml`.

seeds = "0:64"
steps = 500_000

[[algorithms]]
name = "ppo"
parameters = { learning_rate = 1e-3, network = "gru", "network.units" = 32 }

[[environments]]
name = "CartPole-v1"

Other settings are those of `jaxrl.train`. A field that is left out has its registered value. The bits of a
run depend on `width`, so a study that is to be trained again needs it.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from jaxrl import registry
from jaxrl.config import Config, Shared
from jaxrl.errors import InputError, unknown
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.store.files import located, read_text, write_text
from jaxrl.store.manifest import configured_entry
from jaxrl.study.study import Study

CONFIGS = {"algorithms": Algorithm, "environments": Environment, "evaluate_in": Environment}
OF_STUDY = (
    *("seeds", "steps", "evaluate_every", "evaluation_episodes", "evaluation_steps"),
    *("prng", "precision"),
)
PLAIN = (*OF_STUDY, "width")


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments of `jaxrl.train` in a settings file: `train(**read_settings("study.toml"))`.

    Raises InputError if the file cannot be read, for an unknown setting or name, and for a value that a field
    cannot hold.
    """
    file = located(path)
    try:
        settings = tomllib.loads(read_text(file))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # no UTF-8, no TOML
        raise InputError(f"{file} is not a TOML file: {error}") from None
    try:
        return _arguments(settings)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    _require_known("setting", settings, (*CONFIGS, *PLAIN))
    for name in ("algorithms", "environments"):
        if not settings.get(name):
            raise InputError(f"{name} are missing: [[{name}]] begins one")
    listed = {name: _configs(name, settings.get(name, []), kind) for name, kind in CONFIGS.items()}
    labels = [entry.get("label") for entry in settings.get("evaluate_in", [])]
    if not all(isinstance(label, str) and label for label in labels) or len({*labels}) < len(labels):
        raise InputError(f"each of [[evaluate_in]] needs a label of its own, got {labels}")
    return {name: value for name, value in settings.items() if name in PLAIN} | {
        "algorithm": listed["algorithms"],
        "environment": listed["environments"],
        "evaluate_in": dict(zip(labels, listed["evaluate_in"], strict=True)),
    }


def _configs(name: str, entries: Any, kind: type[Config]) -> list[Any]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{name} must be tables such as [[{name}]], got {entries!r}")
    for entry in entries:
        label = ("label",) if name == "evaluate_in" else ()
        _require_known(f"entry of [[{name}]]", entry, ("name", "parameters", *label))
        if not isinstance(entry.get("name"), str):
            raise InputError(f"each of [[{name}]] needs a name, got {entry.get('name')!r}")
        if not isinstance(entry.get("parameters", {}), dict):
            raise InputError(f"parameters of {entry['name']} must be a table, got {entry['parameters']!r}")
        for field, value in entry.get("parameters", {}).items():
            if isinstance(value, dict):
                raise InputError(
                    f"{field} of {entry['name']} must be a value, got {value!r}; a component is written as "
                    f'its name, and its fields as "{field}.<field>"'
                )
    return [configured_entry({"parameters": {}} | entry, kind, {}) for entry in entries]


def _require_known(kind: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise unknown(kind, name, known)


def write_settings(study: Study, path: str | os.PathLike[str], width: int | None = None) -> Path:
    """Writes the settings of a study, and the width of its batches, to a file, which is replaced.

    Returns its path. Raises InputError for a study that was extended by steps, since its schedules are not
    those of a study with as many steps from its start, for shared arrays, and if the file cannot be written.
    """
    configs = (*study.algorithms, *study.environments, *(env for _, env in study.evaluate_in))
    if any(isinstance(value, Shared) for config in configs for value in config.parameters().values()):
        raise InputError("a settings file cannot hold the arrays of a study")
    if study.more_steps:
        raise InputError(
            f"the study was extended to {study.more_steps[-1]:,} steps, which a settings file cannot say"
        )
    settings = {"width": width} | {name: getattr(study, name) for name in OF_STUDY}
    settings = {name: value for name, value in settings.items() if value is not None}
    seeds = [seed for block in (study.seeds, *study.more_seeds) for seed in block]
    consecutive = seeds == [*range(seeds[0], seeds[0] + len(seeds))]
    settings["seeds"] = f"{seeds[0]}:{seeds[-1] + 1}" if consecutive else seeds
    settings["algorithms"] = [registry.entry_of(config) for config in study.algorithms]
    settings["environments"] = [registry.entry_of(config) for config in study.environments]
    settings["evaluate_in"] = [{"label": label} | registry.entry_of(env) for label, env in study.evaluate_in]
    try:
        write_text(file := located(path), tomli_w.dumps(settings))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return file
