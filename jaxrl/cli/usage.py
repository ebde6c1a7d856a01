"""Calls a function with the arguments of a command line. Every error ends in one sentence."""

import contextlib
import inspect
import os
import sys
import typing
from collections.abc import Callable, Iterator, Sequence

import tyro

from jaxrl.errors import InputError, unknown

HELP = {"-h", "--help"}


def run(
    function: Callable[..., None], prog: str, arguments: Sequence[str] | None = None, description: str = ""
) -> None:
    """Calls a function with the arguments of a command line, by default those of this process.

    Positional-only parameters are positional arguments; a tuple at their end takes any number of arguments.
    All other parameters are options. An option of type bool is a flag without a value.

    Args:
        function: its docstring is the text of --help unless there is a `description`.
        prog: the name of the program, with which every message begins.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    with errors_in_one_sentence(prog):
        check_usage(function, prog, arguments)
        tyro.cli(function, prog=prog, description=description or None, args=arguments)


@contextlib.contextmanager
def errors_in_one_sentence(prog: str) -> Iterator[None]:
    """Ends the process as a command should.

    Bad input is printed as one sentence and ends it with exit code 2. A reader that closes the pipe, such as
    `| head`, ends it silently with exit code 1. An interrupt ends it with exit code 130.
    """
    try:
        try:
            yield
        finally:
            print(end="", flush=True)  # otherwise Python complains about the closed pipe when it exits
    except InputError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what is still in the buffer
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        print(f"{prog}: {str(interrupt) or 'stopped at once'}", file=sys.stderr, flush=True)
        os._exit(130)  # at once, since a thread may still be in the middle of a compiled chunk


def check_usage(function: Callable[..., None], prog: str, arguments: Sequence[str]) -> None:
    """Raises InputError if arguments are missing, unknown or too many, unless they ask for help.

    tyro finds the same mistakes but describes each in a box of many lines.
    """
    if HELP & {*arguments}:
        return
    parameters = inspect.signature(function).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    options = {_option(p.name): p for p in parameters if p.kind is not p.POSITIONAL_ONLY}
    values, given = _split(prog, options, arguments)
    types = typing.get_type_hints(function)
    repeated = {name for name in positional if typing.get_origin(types[name]) is tuple}
    missing = [name.upper() for name in positional[len(values) :] if name not in repeated]
    missing += [name for name, p in options.items() if p.default is p.empty and name not in given]
    if missing:
        raise InputError(f"{', '.join(missing)} must be given; see {prog} --help")
    if len(values) > len(positional) and not repeated:
        raise InputError(f"unexpected argument {values[len(positional)]!r}; see {prog} --help")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _split(
    prog: str, options: dict[str, inspect.Parameter], arguments: Sequence[str]
) -> tuple[list[str], set[str]]:
    """The positional arguments, and the names of the options that are given.

    Raises InputError for an unknown option, an option without its value and a flag with one.
    """
    values: list[str] = []
    given: set[str] = set()
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            values.append(argument)
            continue
        written, equals, value = argument.partition("=")
        option = written.replace("_", "-")
        if option not in options:
            raise unknown("option", written, [*options, "--help"])
        if isinstance(options[option].default, bool):
            if equals:
                raise InputError(f"{option} takes no value, got {value!r}; see {prog} --help")
        elif not equals and next(rest, "--").startswith("--"):
            raise InputError(f"{option} needs a value; see {prog} --help")
        given.add(option)
    return values, given
