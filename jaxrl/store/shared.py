"""The shared arrays of a study: one file for each `Shared`, named by its hash."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from jaxrl.config import Config, Shared
from jaxrl.errors import InputError
from jaxrl.fields import nested
from jaxrl.store.files import subfolder
from jaxrl.store.states import read_arrays, write_arrays


def shared_of(configs: Iterable[Config]) -> dict[str, Shared]:
    """The shared arrays of configs by their hash."""
    values = [value for config in configs for value in config.parameters().values()]
    return {value.hash: value for value in values if isinstance(value, Shared)}


def write_shared(folder: Path, configs: Iterable[Config]) -> None:
    """Writes the shared arrays of configs into a folder, unless it already holds them."""
    for digest, value in shared_of(configs).items():
        if not _path(folder, digest).exists():
            write_arrays(_path(subfolder(folder.parent, folder.name), digest), value.flat())


def read_shared(folder: Path) -> dict[str, Shared]:
    """All shared arrays of a folder by their hash. Raises InputError for a file that was altered."""
    found: dict[str, Shared] = {}
    for path in sorted(folder.glob("*.safetensors")):
        value = shared_from(read_arrays(path)[0])
        if _path(folder, value.hash) != path:
            raise InputError(f"{path} was altered: its name is not the hash of its arrays")
        found[value.hash] = value
    return found


def shared_from(flat: Mapping[str, np.ndarray]) -> Shared:
    """The inverse of `Shared.flat`. Raises InputError if one path is the beginning of another."""
    try:
        return Shared(nested(flat))
    except (AttributeError, IndexError):
        raise InputError(f"no shared arrays have the paths {', '.join(flat)}") from None


def _path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.safetensors"
