"""Signals that ask a training to end: it then stops in good order after its chunk."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from jaxrl.errors import with_urls

# Ctrl-C and `kill`: the second one stops at once.
COMMANDS = (signal.SIGINT, signal.SIGTERM)
# A terminal that closes, and what a scheduler sends some time before it kills; it may repeat it.
WARNINGS = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """The end of a training that a signal or a callback has stopped."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(with_urls(message))
        self.signal = signal  # its number


class StopRequest(threading.Event):
    """An event that is set when training shall stop."""

    signal: int = signal.SIGINT  # the number of the signal that set it; that of Ctrl-C if a callback did


@contextlib.contextmanager
def interruptible() -> Iterator[StopRequest]:
    """An event that the signals set. The second SIGINT or SIGTERM acts as it would outside the block.

    A signal that is ignored, as SIGHUP under nohup, stays ignored. A SIGHUP or SIGUSR1 that the program
    handles itself stays with the program. Only the main thread gets signals, so that in another thread
    nothing sets the event.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def stop(number: int, _: FrameType | None) -> None:
        again = ""
        if number in COMMANDS:
            signal.signal(number, before[number])
            again = f"; {'press Ctrl-C' if number == signal.SIGINT else 'send it'} again to stop at once"
        request.signal = number
        request.set()
        cause = "" if number == signal.SIGINT else f"{signal.Signals(number).name}: "
        with contextlib.suppress(OSError):  # the terminal is closed
            print(f"\n{cause}stopping after this chunk{again}", file=sys.stderr)

    before = {number: signal.getsignal(number) for number in (*COMMANDS, *WARNINGS)}
    kept = [number for number in COMMANDS if before[number] is signal.SIG_IGN]
    kept += [number for number in WARNINGS if before[number] is not signal.SIG_DFL]
    before = {number: handler for number, handler in before.items() if number not in kept}
    for number in before:
        signal.signal(number, stop)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
