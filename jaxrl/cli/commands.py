"""The command line `jaxrl`."""

import itertools
import sys
from collections.abc import Callable, Sequence

import tyro

from jaxrl.cli import reading, training
from jaxrl.cli.printing import print_fields, print_list
from jaxrl.cli.usage import HELP, check_usage, errors_in_one_sentence
from jaxrl.errors import InputError, unknown
from jaxrl.version import VERSION

COMMANDS: dict[str, Callable[..., None]] = {
    "list": print_list,
    "train": training.train,
    "resume": training.resume,
    "evaluate": reading.evaluate,
    "replay": training.replay,
    "verify": training.verify,
    "report": reading.report,
    "compare": reading.compare,
    "select": training.select,
    "export": reading.export,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line. Bad input ends it with one sentence and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with errors_in_one_sentence("jaxrl"):
        if [*arguments[:1]] == ["--version"]:
            print(f"jaxrl {VERSION}")
            return
        _check(arguments)
        if HELP & {*arguments} and arguments[0] == "train":
            print_fields([*itertools.takewhile(lambda name: not name.startswith("-"), arguments[1:])])
            arguments = ["train", "--help"]
        description = "Reinforcement learning research in JAX. jaxrl --version prints its version."
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="jaxrl", description=description, args=arguments)


def _check(arguments: Sequence[str]) -> None:
    """Raises InputError if there is no such command or it cannot take the arguments."""
    if not arguments:
        raise InputError(f"a command must be given: {', '.join(COMMANDS)}; see jaxrl --help")
    name, *rest = arguments
    if name in COMMANDS:
        check_usage(COMMANDS[name], f"jaxrl {name}", rest)
    elif not name.startswith("-"):
        raise unknown("command", name, COMMANDS)
    elif name not in HELP:
        raise unknown("option", name, ["--help", "--version"])
