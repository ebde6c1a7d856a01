"""A sign of life on the standard error while a command computes."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def alive(doing: str) -> Iterator[None]:
    """Shows that the work in its block goes on, by a spinner in a terminal and by lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(doing):
            yield
        return
    done = threading.Event()
    lines = threading.Thread(target=_print_lines, args=(doing, done), daemon=True)
    lines.start()
    try:
        yield
    finally:
        done.set()
        lines.join()


def _print_lines(doing: str, done: threading.Event) -> None:
    begun = time.monotonic()
    while not done.wait(SECONDS_BETWEEN_LINES):
        with contextlib.suppress(OSError):  # the log cannot be written
            print(f"{doing}, for {time.monotonic() - begun:.0f} s so far", file=sys.stderr, flush=True)
