"""What a command does before its work: it imports jax and starts its devices.

This module itself imports nothing heavy, so that `--help` answers at once.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from jaxrl.errors import InputError


@contextlib.contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """Lets Ctrl-C end the process at once and silently.

    For imports: numpy would turn a KeyboardInterrupt into an ImportError of many lines.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def import_libraries() -> None:
    """Imports jax and pandas. Raises InputError if jax refuses an environment variable."""
    try:
        with ended_by_interrupts():
            import jax  # noqa: F401
            import pandas  # noqa: F401  # type: ignore[import-untyped]
    except ValueError as error:
        given = ", ".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith("JAX_"))
        raise InputError(
            f"jax refuses an environment variable ({error}); correct or unset it, you have {given}"
        ) from None


def prepare() -> None:
    """Prepares jax for a command that compiles: its cache, and one device per core of a processor.

    Raises InputError if jax cannot start its devices.
    """
    import jax

    from jaxrl.compiled.compilation_cache import enable_compilation_cache
    from jaxrl.compiled.cores import use_all_cores

    enable_compilation_cache()
    use_all_cores()
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter without a text, if a plugin is not installed
        platforms = os.environ.get("JAX_PLATFORMS", "")
        why = str(error).partition("\n")[0].partition(" (set JAX_PLATFORMS")[0].strip(". ")
        raise InputError(
            f"jax cannot start its devices with JAX_PLATFORMS={platforms!r}: {why or 'there is none'}; "
            "unset JAX_PLATFORMS to use the best device that there is"
        ) from None
