"""The shared arrays of a study: one file for each `Shared`, named by its hash."""

from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from jaxrl.config import Config, Shared
from jaxrl.errors import InputError
from jaxrl.fields import nested
from jaxrl.store.states import write_arrays


def write_shared(folder: Path, configs: Iterable[Config]) -> None:
    """Writes the shared arrays of configs into a folder, unless it already holds them."""
    for config in configs:
        for value in config.parameters().values():
            if isinstance(value, Shared) and not _path(folder, value.hash).exists():
                folder.mkdir(exist_ok=True)
                write_arrays(_path(folder, value.hash), value.flat())


def read_shared(folder: Path) -> dict[str, Shared]:
    """All shared arrays of a folder by their hash. Raises InputError for a file that was altered."""
    found: dict[str, Shared] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            value = Shared(nested(load_file(path)))
        except (OSError, SafetensorError, InputError) as error:
            raise InputError(f"{path} cannot be read: {error}") from None
        if _path(folder, value.hash) != path:
            raise InputError(f"{path} was altered: its name is not the hash of its arrays")
        found[value.hash] = value
    return found


def _path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.safetensors"
