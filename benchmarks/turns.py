"""Turns on a device for processes that compile side by side. Needs only the standard library."""

import contextlib
import os
from collections.abc import Iterator

FILE = "JAXRL_TURNS"  # the environment variable that names the file which processes lock


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Waits until no other process with the same file in JAXRL_TURNS has its turn; without one, not at all."""
    if FILE not in os.environ:
        yield
        return
    import fcntl  # Unix alone has it

    with open(os.environ[FILE], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
