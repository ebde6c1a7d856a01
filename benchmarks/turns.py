"""Turns on a device for processes that compile side by side. Needs only the standard library."""

import contextlib
import os
from collections.abc import Iterator

FILE = "JAXRL_TURNS"  # the environment variable that names the file which processes lock


def compiling() -> contextlib.AbstractContextManager[None]:
    """While any process with the same file compiles, which also measures kernels, no turn begins."""
    return _locked(alone=False)


def turn() -> contextlib.AbstractContextManager[None]:
    """A turn on the device: no other process with the same file has one or compiles."""
    return _locked(alone=True)


@contextlib.contextmanager
def _locked(alone: bool) -> Iterator[None]:
    if FILE not in os.environ:
        yield
        return
    import fcntl  # Unix alone has it

    with open(os.environ[FILE], "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
