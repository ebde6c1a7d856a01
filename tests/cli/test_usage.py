"""How a command line is called: what it refuses, its version, and pipes that close."""

import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

import pytest

from jaxrl import __version__
from jaxrl.cli.commands import COMMANDS, main
from jaxrl.cli.training import train
from jaxrl.cli.usage import errors_in_one_sentence, run
from jaxrl.random.generators import DEFAULT, GENERATORS

TRAIN = ["train", "ppo", "CartPole-v1"]
COUNTS = ["--seeds", "2", "--steps", "600"]
CUDA = ("jax_cuda12_plugin", "jax_cuda13_plugin")


def exit_code(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: COMMAND; see jaxrl --help"),
        (["trian"], "unknown command 'trian': did you mean 'train'? known are compare, "),
        (["bench"], "unknown command 'bench': known are compare, "),
        (
            ["--versoin"],
            "unknown option '--versoin': did you mean '--version'? known are --help, --traceback, --version",
        ),
        (["train"], "ALGORITHM and ENVIRONMENT are required without --config; see jaxrl train --help"),
        (["train", "ppo", *COUNTS], "ALGORITHM and ENVIRONMENT are required without --config; see "),
        (TRAIN, "--seeds and --steps must be given; see jaxrl train --help"),
        ([*TRAIN, "--seeds", "2"], "--steps must be given; see jaxrl train --help"),
        ([*TRAIN, "--config", "study.toml"], "--config names algorithms and environments, so give no names"),
        (["train", "--config", "study.toml", "--preset"], "--config names algorithms and environments, so"),
        (["train", "--config", "/none.toml"], "/none.toml cannot be read: No such file or directory"),
        (
            ["train", "ppo,dqn", "CartPole-v1", "--preset"],
            "--preset takes one algorithm and one environment, got ppo,dqn CartPole-v1",
        ),
        (["train", "random", "Taxi-v3", "--preset"], "unknown preset 'random Taxi-v3': "),
        (["train", "sarsa", "CartPole-v1", "--preset"], "unknown preset 'sarsa CartPole-v1'"),
        (
            ["compare", "--metric", "auc"],
            "the following arguments are required: FOLDER; see jaxrl compare --help",
        ),
        (["export", "folder"], "the following arguments are required: --to; see jaxrl export --help"),
        ([*TRAIN, *COUNTS, "--sed", "3"], "unknown option '--sed': did you mean '--seeds'? known are "),
        ([*TRAIN, *COUNTS, "-s", "3"], "unknown option '-s': "),
        ([*TRAIN, "--seeds"], "argument --seeds: expected one argument; see jaxrl train --help"),
        (
            [*TRAIN, "--seeds", "--steps", "600"],
            "argument --seeds: expected one argument; see jaxrl train --help",
        ),
        ([*TRAIN, *COUNTS, "--dry-run", "yes"], "unrecognized arguments: yes; see jaxrl train --help"),
        ([*TRAIN, *COUNTS, "--dry-run=yes"], "argument --dry-run: ignored explicit argument 'yes'; see "),
        (["report", "one", "two"], "unrecognized arguments: two; see jaxrl report --help"),
        (["list", "ppo"], "unrecognized arguments: ppo; see jaxrl list --help"),
        (
            [*TRAIN, "--seeds", "2", "--steps", "many"],
            "argument --steps: an integer is expected, got 'many'; see ",
        ),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_sentence(arguments, sentence, capsys):
    assert exit_code(arguments) == 2
    out, error = capsys.readouterr()
    assert not out
    assert error.startswith(f"jaxrl: {sentence}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [*TRAIN, *COUNTS],
        ["train", *COUNTS, *TRAIN[1:]],
        [*TRAIN, "--seeds=2", "--steps=600", "--evaluate_every", "-1"],
    ],
    ids=" ".join,
)
def test_options_stand_anywhere_and_take_their_value_in_either_form(arguments, monkeypatch):
    called = []
    monkeypatch.setitem(COMMANDS, "train", spy(train, called))
    main(arguments)
    assert called[0].items() >= {"algorithm": "ppo", "environment": "CartPole-v1", "seeds": "2"}.items()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--steps", "1e4"], {"steps": 10_000}),
        (["--steps", "10_000"], {"steps": 10_000}),
        (["--steps", "6e2", "--evaluate-every", "1e1"], {"steps": 600, "evaluate_every": 10}),
    ],
    ids=" ".join,
)
def test_whole_numbers_have_several_forms(words, values, monkeypatch):
    called = []
    monkeypatch.setitem(COMMANDS, "train", spy(train, called))
    main([*TRAIN, "--seeds", "2", *words])
    assert called[0].items() >= values.items()


def spy(function, called):
    """A function of the same signature that only notes its arguments."""

    def noted(*args, **kwargs):
        called.append(inspect.signature(function).bind(*args, **kwargs).arguments)

    noted.__signature__ = inspect.signature(function)
    noted.__annotations__ = function.__annotations__
    noted.__doc__ = function.__doc__
    return noted


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_of_a_command_is_explained(name, capsys):
    assert exit_code([name, "--help"]) == 0
    printed = capsys.readouterr().out
    for parameter in inspect.signature(COMMANDS[name]).parameters.values():
        if parameter.kind is not parameter.POSITIONAL_ONLY:
            assert f"--{parameter.name.replace('_', '-')}" in printed
        assert re.search(rf"^        {parameter.name}( \(.+\))?: ", COMMANDS[name].__doc__, re.MULTILINE)
    assert "None" not in printed


def test_help_names_the_generators_and_every_command(capsys):
    assert exit_code(["train", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{DEFAULT} (if not given)" in printed
    assert all(name in printed for name in GENERATORS)
    assert exit_code(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n    {name} " in printed for name in COMMANDS)


def test_version(capsys):
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxrl {__version__}\n"


def greet(
    names: Sequence[str],
    /,
    times: int = 1,
    last: str | None = None,
    title: Sequence[str] = (),
    loud: bool = False,
) -> None:
    """Greets.

    Args:
        names (NAME): who is greeted: one or more.
            - you: the reader of this text.
            - all: everybody else, who may be many,
            and more.
        times (INT): how often, 100 % sure.
        last: the last word
            of all.
        title (TEXT): what stands before.
        loud: whether it is shouted.
    """
    print(names, times, last, title, loud)


def test_a_function_becomes_a_program(capsys):
    run(greet, "greet", ["you", "all"])
    assert capsys.readouterr().out == "['you', 'all'] 1 None [] False\n"
    run(greet, "greet", ["you", "--title", "Dr", "--loud", "--times=-2", "--title", "Ms", "--last", "x"])
    assert capsys.readouterr().out == "['you'] -2 x ['Dr', 'Ms'] True\n"


HELP = """\
usage: greet [-h] [--times INT] [--last LAST] [--title TEXT] [--loud]
             NAME [NAME ...]

Greets.

positional arguments:
  NAME          who is greeted: one or more.
                - you: the reader of this text.
                - all: everybody else, who may be many, and more.

options:
  -h, --help    show this help message and exit
  --times INT   how often, 100 % sure. (default: 1)
  --last LAST   the last word of all.
  --title TEXT  what stands before. (repeatable)
  --loud        whether it is shouted.
"""


def test_the_help_of_a_function_is_its_docstring_or_another_text(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for text in (None, greet.__doc__.replace("Greets.", "Says hello.")):
        with pytest.raises(SystemExit) as stop:
            run(greet, "greet", ["--help", "--tims"], text)
        assert stop.value.code == 0
        assert capsys.readouterr().out == HELP.replace("Greets.", "Says hello." if text else "Greets.")


def test_an_error_of_the_program_is_not_hidden():
    with pytest.raises(ValueError, match="a bug"), errors_in_one_sentence("program"):
        raise ValueError("a bug")


def test_the_traceback_is_shown_on_request(capsys):
    assert exit_code(["report", "/nowhere", "--traceback"]) == 2
    error = capsys.readouterr().err
    assert "in find_studies" in error
    assert error.endswith(
        "jaxrl: /nowhere holds no study: neither it nor a folder in it has a manifest.json\n"
    )


def started(arguments, stdout=subprocess.PIPE, **variables):
    """A finished process of the command, with these environment variables."""
    command = [sys.executable, "-m", "jaxrl", *arguments]
    variables = {**os.environ, **variables}
    return subprocess.run(
        command, env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (
            [*TRAIN, *COUNTS, "--dry-run"],
            {"JAX_PLATFORMS": "bogus"},
            "jaxrl: jax cannot start its devices with JAX_PLATFORMS='bogus': Unable to initialize backend 'bogus'",
        ),
        pytest.param(
            [*TRAIN, *COUNTS, "--dry-run"],
            {"JAX_PLATFORMS": "cuda"},
            "jaxrl: jax cannot start its devices with JAX_PLATFORMS='cuda': ",
            marks=pytest.mark.skipif(any(map(find_spec, CUDA)), reason="it may start"),
        ),
        (
            ["list"],
            {"JAX_NUM_CPU_DEVICES": "abc"},
            'jaxrl: jax refuses an environment variable (Invalid value "abc" for JAX flag jax_num_cpu_devices)',
        ),
        (
            ["train", "ppo", "--help"],
            {"JAX_ENABLE_X64": "maybe"},
            "jaxrl: jax refuses an environment variable (invalid truth value 'maybe'",
        ),
    ],
)
def test_settings_that_jax_refuses_are_one_sentence(arguments, variables, sentence):
    done = started(arguments, **variables)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_characters_that_a_terminal_lacks_are_shown_as_codes():
    done = started(["train", "ppo", "--help"], PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u03b3, discount" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")
@pytest.mark.parametrize("arguments", [["list"], ["--help"]], ids=" ".join)
def test_a_full_disk_is_one_sentence(arguments):
    with open("/dev/full", "w") as full:
        done = started(arguments, stdout=full)
    assert done.returncode == 2
    assert done.stderr == "jaxrl: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("module", ["jaxrl.cli.usage", "numpy", "jax", "pandas"])
def test_an_interrupt_during_the_imports_ends_the_process_silently(module):
    """numpy would turn it into an ImportError."""
    code = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting)\n"
        "sys.argv[1:] = ['list']\n"
        "from jaxrl.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def with_closed_pipe(arguments):
    """The exit code and the error output of a command whose standard output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "jaxrl", *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments", [["list"], ["--help"], ["train", "ppo", "--help"], ["--version"]], ids=" ".join
)
def test_a_closed_pipe_ends_a_command_silently(arguments):
    assert with_closed_pipe(arguments) == (1, "")


def test_bad_input_is_said_though_the_pipe_is_closed():
    code, error = with_closed_pipe(["trian"])
    assert code == 2
    assert error.startswith("jaxrl: unknown command 'trian'")
