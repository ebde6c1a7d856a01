"""Files in and beside results folders: they appear whole, and reading one ends.

A results folder may come from a stranger. Nothing is written or removed through a link inside it; the folder
itself may be a link.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pyarrow.lib import ArrowException
from safetensors import SafetensorError

from jaxrl.errors import InputError

MOST_JSON = 64_000_000  # bytes of a JSON file; a manifest of MAX_RUNS runs has fewer


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a text names a place elsewhere, such as s3://bucket/lakes."""
    return isinstance(path, str) and re.match(r"[A-Za-z][\w+.-]+://", path) is not None


def located(path: str | os.PathLike[str]) -> Path:
    """A path as users give it, with ~ for the home folder. Raises InputError for a URL."""
    if is_url(path):
        raise InputError(f"a file or a folder of this machine is expected, got {path}")
    return Path(os.path.expanduser(path))


def require_no_link(path: Path) -> Path:
    """The path. Raises InputError if it is a link."""
    if path.is_symlink():
        raise InputError(
            f"{path} is a link, and nothing is written through a link in a results folder; "
            "put the folder itself in its place"
        )
    return path


def subfolder(folder: Path, *names: str) -> Path:
    """A folder below another, each made if it is missing. Raises InputError if one of them is a link."""
    for name in names:
        folder = require_no_link(folder / name)
        folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def appearing_whole(path: Path, only_if_absent: bool = False) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` at the end of the block, and is removed if the block fails.

    Even after a power cut, `path` is the old file or the whole new one. A link at `path` is replaced, not
    followed. If several processes write `path` at once, it is the file of the last one. With
    `only_if_absent` it is the file of the first one, and the others raise FileExistsError.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:  # exclusively, which follows no link
            yield file
            file.flush()
            os.fsync(file.fileno())
        if only_if_absent:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str, only_if_absent: bool = False) -> None:
    """Writes a text, whole or not at all. For `only_if_absent` see `appearing_whole`."""
    with appearing_whole(path, only_if_absent) as file:
        file.write(text.encode())


def read_text(path: Path) -> str:
    """The text of a JSON file. Raises OSError unless it is a file of at most MOST_JSON bytes."""
    require_file(path, MOST_JSON)
    return path.read_text(encoding="utf-8")


def require_file(path: Path, most: float = float("inf")) -> None:
    """Raises OSError unless a path is a file of at most `most` bytes. Reading a pipe might never end."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device")
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, more than {most:,}")


@contextlib.contextmanager
def reading(path: Path, expected: str | None = None) -> Iterator[None]:
    """Turns the errors of reading a file in the block into InputErrors without a remedy.

    Raises InputError at once for a file that has another hash than the `expected` one, or that is no file.
    """
    try:
        require_file(path)
        if expected is not None and file_hash(path) != expected:
            raise InputError(f"{path} was altered or cut short: its hash is not the recorded one")
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, SafetensorError, ArrowException, ValueError) as error:
        why = getattr(error, "strerror", None) or "it was altered or cut short, or is of another kind"
        raise InputError(f"{path} cannot be read: {why}") from None


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
