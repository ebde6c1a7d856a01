"""Calls a function with the arguments of a command line. Every error ends in one sentence."""

import argparse
import contextlib
import errno
import functools
import inspect
import io
import os
import re
import signal
import sys
import textwrap
import traceback
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from jaxrl.errors import InputError, unknown
from jaxrl.text import whole_number

HELP = {"-h", "--help"}
TRACEBACK = "--traceback"


class Parser(argparse.ArgumentParser):
    """Raises InputError for wrong usage."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        print(message, end="", file=file)  # argparse's own does not raise BrokenPipeError


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a description, and wraps each line of an argument's text by itself."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return [line for part in text.splitlines() for line in textwrap.wrap(part.strip(), width)]


def run(
    function: Callable[..., None], prog: str, arguments: Sequence[str] | None = None, text: str | None = None
) -> None:
    """Calls a function with the arguments of a command line, by default those of this process.

    `prog` is the name of the program, with which every message begins. `text` is as in `parse`.
    """
    words, with_traceback = without_traceback(sys.argv[1:] if arguments is None else arguments)
    with errors_in_one_sentence(prog, with_traceback):
        positional, options = parse(function, prog, words, text)
        function(*positional, **options)


def without_traceback(words: Sequence[str]) -> tuple[list[str], bool]:
    """A command line without --traceback, and whether it had it."""
    return [word for word in words if word != TRACEBACK], TRACEBACK in words


@contextlib.contextmanager
def errors_in_one_sentence(prog: str, with_traceback: bool = False) -> Iterator[None]:
    """Ends the process as a command should.

    Bad input is printed as one sentence, if wanted after the traceback, and ends it with exit code 2, and so
    does a full disk. A reader that closes the pipe, such as `| head`, ends it silently with exit code 1. A
    signal ends it with 128 plus the signal's number, 130 for Ctrl-C. A character that the terminal cannot
    show is printed as its code.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            _flush_output()  # otherwise Python complains about the closed pipe when it exits
    except InputError as error:
        _end(prog, error, with_traceback)
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        print(f"{prog}: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        told = _explained(error)
        if not isinstance(told, InputError):
            raise
        _end(prog, told, with_traceback)
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):  # the terminal is closed
            print(f"{prog}: {str(interrupt) or 'stopped at once'}", file=sys.stderr, flush=True)
        # At once, since a thread may still be in the middle of a compiled chunk.
        os._exit(128 + getattr(interrupt, "signal", signal.SIGINT))


def _end(prog: str, error: InputError, with_traceback: bool) -> NoReturn:
    if with_traceback:
        error.__suppress_context__ = False
        traceback.print_exception(error)
    print(f"{prog}: {error}", file=sys.stderr)
    sys.exit(2)


def _explained(error: RuntimeError) -> BaseException:
    """The sentence for an error of XLA."""
    from jaxrl.compiled.host_errors import explained

    return explained(error)


def _flush_output() -> None:
    try:
        print(end="", flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        _drop_output()  # the terminal is closed


def _drop_output() -> None:
    """Sends what is still in the buffer of the standard output, and all that follows, to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(
    function: Callable[..., None], prog: str, arguments: Sequence[str], text: str | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """The positional arguments and the options with which a command line calls a function.

    Positional-only parameters are positional arguments. All other parameters are options: a bool is a flag
    without a value, and a sequence may be repeated. `text` describes them as a docstring does, by default
    that of the function: a summary, and under "Args:" lines such as "steps (INT): steps of each run", where
    INT stands for the value. Raises InputError for wrong usage. --help ends the process.
    """
    summary, described = _described(text or function.__doc__ or "")
    kinds = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    parser = Parser(prog=prog, description=summary)
    actions = [_added(parser, each, kinds[each.name], *described[each.name]) for each in parameters]
    if HELP & {*arguments}:
        parser.parse_args(["--help"])
    spelled = [re.sub("^--[^=]+", lambda option: option[0].replace("_", "-"), each) for each in arguments]
    require_options(spelled, [option for each in actions for option in each.option_strings])
    values = vars(parser.parse_intermixed_args(spelled))
    return [values.pop(each.name) for each in parameters if each.kind is each.POSITIONAL_ONLY], values


def require_options(arguments: Sequence[str], known: Sequence[str]) -> None:
    """Raises InputError for an unknown option, with the closest known one, which argparse does not name."""
    for argument in arguments:
        option = argument.partition("=")[0]
        if re.match("--?[a-z]", option) and option not in (*known, *HELP):
            raise unknown("option", option, [*known, "--help"])


def _described(text: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """The summary of a docstring, and what stands for the value of each parameter with its meaning."""
    summary, _, listed = inspect.cleandoc(text).partition("\n\nArgs:\n")
    found = re.findall(r"^ {4}(\w+)(?: \((.+?)\))?: (.*(?:\n {8}.*)*)", listed, re.MULTILINE)
    joined = r"\n +(?![ -])"  # a line that is no item of a list
    return summary, {name: (metavar, re.sub(joined, " ", meaning)) for name, metavar, meaning in found}


def _added(
    parser: Parser, parameter: inspect.Parameter, kind: Any, metavar: str, meaning: str
) -> argparse.Action:
    """The argument that sets a parameter of a type, added to a parser."""
    name, default, required = parameter.name, parameter.default, parameter.default is parameter.empty
    settings: dict[str, Any] = {"help": meaning.replace("%", "%%")}
    if kind is bool:
        return parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", **settings)
    repeated, value = typing.get_origin(kind) is Sequence, (*typing.get_args(kind), kind)[0]
    settings |= {"metavar": metavar or name.upper(), "type": functools.partial(_value, value)}
    if parameter.kind is parameter.POSITIONAL_ONLY:
        nargs = "+" if repeated and required else "*" if repeated else None if required else "?"
        return parser.add_argument(name, nargs=nargs, default=None if required else default, **settings)
    settings |= {"action": "append", "default": [*default]} if repeated else {"default": default}
    note = f"default: {default}" if default not in (None, "") else ""
    note = "required" if required else "repeatable" if repeated else note
    settings["help"] += f" ({note})" if note else ""
    return parser.add_argument(f"--{name.replace('_', '-')}", required=required, **settings)


def _value(kind: Callable[[str], Any], text: str) -> Any:
    try:
        return whole_number(text) if kind is int else kind(text)
    except ValueError:
        expected = "an integer" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{expected} is expected, got {text!r}") from None
