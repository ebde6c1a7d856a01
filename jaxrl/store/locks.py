"""Locks on a results folder. They end with the process at the latest, however it ends.

A process that begins, resumes or finishes a study needs the folder to itself. Workers that train batches of
one study share it with each other.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import filelock

from jaxrl.errors import InputError

POLL = 0.05  # seconds between two attempts
Lock = Callable[[Path, float], AbstractContextManager[None]]  # `exclusive` or `shared`


class Held(InputError):
    """Another process holds the lock."""


def _held(path: Path) -> Held:
    return Held(f"another process is writing {path.parent}; wait until it is done")


@contextlib.contextmanager
def exclusive(path: Path, wait: float = 0.0) -> Iterator[None]:
    """The lock of a folder at `path` for this process alone. Raises Held after `wait` seconds."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=wait, poll_interval=POLL)
    except filelock.Timeout:
        raise _held(path) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def shared(path: Path, wait: float = 0.0) -> Iterator[None]:
    """The lock of a folder at `path`, shared with other workers. Raises Held after `wait` seconds.

    Raises InputError where the operating system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        raise InputError("this operating system has no locks that several workers can share") from None
    deadline = time.monotonic() + wait
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise _held(path) from None
            time.sleep(POLL)
        yield
    finally:
        os.close(descriptor)
