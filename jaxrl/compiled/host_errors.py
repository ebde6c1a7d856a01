"""Errors that a compiled program passes on, as one sentence each."""

import contextlib
import logging
import re
from collections.abc import Iterator

import jax

from jaxrl.errors import InputError, users_line


def explained(error: BaseException) -> BaseException:
    """The InputError for an error of XLA whose cause is known, else the error itself.

    Causes are Python code that the program called, such as an environment's, and a device that is full. The
    error is the context of the InputError, which a traceback leaves out.
    """
    text = str(error)
    if not isinstance(error, jax.errors.JaxRuntimeError):
        return error
    _, found, said = text.partition(f"{InputError.__name__}: ")
    if found:
        sentence = said.partition("\n")[0]
    elif "Traceback (most recent call last)" in text:
        frames = re.findall(r'^ *File "(.+?)", line (\d+)', text, re.MULTILINE)
        raised = [line for line in text.splitlines() if re.match(r"[\w.]+(: |$)", line)]
        sentence = f"{raised[-1]} ({users_line(frames)}), in Python code that the compiled program called"
    elif text.startswith("RESOURCE_EXHAUSTED"):
        sentence = f"the device's memory is full: {text.partition(chr(10))[0]}; choose a smaller width"
    else:
        return error
    told = InputError(sentence)
    told.__context__, told.__suppress_context__ = error, True
    return told


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """Keeps jax from also logging what the code that it calls raises."""
    logger = logging.getLogger("jax._src.callback")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
