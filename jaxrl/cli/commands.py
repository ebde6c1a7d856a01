"""The command line `jaxrl`."""

import inspect
import itertools
import sys
from collections.abc import Callable, Sequence

from jaxrl.cli import reading, solving, training, watching
from jaxrl.cli.printing import print_fields, print_list
from jaxrl.cli.starting import import_libraries
from jaxrl.cli.usage import (
    HELP,
    TRACEBACK,
    Parser,
    errors_in_one_sentence,
    parse,
    require_options,
    without_traceback,
)
from jaxrl.errors import unknown
from jaxrl.version import VERSION

COMMANDS: dict[str, Callable[..., None]] = {
    "list": print_list,
    "solve": solving.solve,
    "train": training.train,
    "resume": training.resume,
    "work": training.work,
    "status": reading.status,
    "evaluate": reading.evaluate,
    "watch": watching.watch,
    "replay": training.replay,
    "verify": training.verify,
    "report": reading.report,
    "compare": reading.compare,
    "select": training.select,
    "export": reading.export,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line. Bad input ends it with one sentence and exit code 2."""
    words, traceback = without_traceback(sys.argv[1:] if arguments is None else arguments)
    with errors_in_one_sentence("jaxrl", traceback):
        name, rest = _command(words[:1]), words[1:]
        if name == "train" and HELP & {*rest}:
            import_libraries()
            print_fields([*itertools.takewhile(lambda word: not word.startswith("-"), rest)])
        positional, options = parse(COMMANDS[name], f"jaxrl {name}", rest)
        import_libraries()
        COMMANDS[name](*positional, **options)


def _command(first: Sequence[str]) -> str:
    """The name of the command that the first argument, if there is one, stands for.

    --help and --version end the process. Raises InputError for anything else.
    """
    parser = Parser(prog="jaxrl", description="Reinforcement learning research in JAX.")
    parser.add_argument("--version", action="version", version=f"jaxrl {VERSION}")
    parser.add_argument(TRACEBACK, action="store_true", help="shows how an error came about")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND", required=True)
    for name, function in COMMANDS.items():
        commands.add_parser(name, help=str(inspect.getdoc(function)).partition("\n")[0])
    if first and not first[0].startswith("-") and first[0] not in COMMANDS:
        raise unknown("command", first[0], COMMANDS)
    require_options(first, ["--version", TRACEBACK])
    return str(parser.parse_args(first).command)
