"""No file of a results folder can execute code: nothing in the sources writes, reads or runs any."""

import pickletools
import re
from pathlib import Path

import pytest

from envs import GridWorld
from jaxrl import train
from jaxrl.algorithms import QLearning

ROOT = Path(__file__).parents[2]
MODULES = r"(?:c?pickle|cloudpickle|dill|joblib|marshal|shelve|torch)"
FORBIDDEN = re.compile(
    rf"""
    ^\s*(?:import|from)\s+{MODULES}\b   # the modules, however they are imported
    | import_module\(["']{MODULES}\b
    | __import__
    | \b(?:read|to)_pickle\b            # pandas
    | allow_pickle\s*=\s*(?!False\b)    # numpy, whose default is False
    | yaml\.(?:unsafe_|full_)?load\b
    | (?<![\w.])(?:eval|exec|compile)\( # but not jax.eval_shape( or re.compile(
    | \.eval\(                          # pandas
    """,
    re.VERBOSE | re.MULTILINE,
)
# It unpickles what it and the processes that it started send to each other through pipes, and no file.
PIPES = ROOT / "envs/adapters/gymnasium_processes.py"
SOURCES = sorted(
    file for package in ("jaxrl", "envs") for file in (ROOT / package).rglob("*.py") if file != PIPES
)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_source_can_unpickle_or_run_data(file):
    assert FORBIDDEN.findall(file.read_text()) == []


def test_pipes_alone_are_unpickled():
    text = PIPES.read_text()
    assert FORBIDDEN.search(text)
    assert [call for call in re.findall(r"[\w.]*(?<!P)open\(", text) if call != "os.fdopen("] == []
    assert {*re.findall(r"pickle\.load\((.*?)\)", text)} == {"self._output", "sys.stdin.buffer"}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "    from cloudpickle import loads",
        "import joblib as j",
        'importlib.import_module("dill")',
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle = flag)",
        "pd.read_pickle(path)",
        "runs.to_pickle(path)",
        "value = eval(text)",
        "exec(code)",
        "frame.eval(text)",
        "yaml.load(text)",
    ],
)
def test_the_search_finds(line):
    assert FORBIDDEN.search(f"x = 1\n{line}\n")


@pytest.mark.parametrize(
    "line", ["jax.eval_shape(f)", "re.compile(x)", "np.savez(f, allow_pickle=False)", "# no pickle"]
)
def test_the_search_passes(line):
    assert not FORBIDDEN.search(line)


def test_no_file_of_a_results_folder_is_a_pickle(tmp_path):
    folder = tmp_path / "study"
    train(QLearning(), GridWorld(), seeds=2, steps=20, evaluation_episodes=1, out=folder)
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 3
    for file in files:
        with pytest.raises((ValueError, IndexError, UnicodeDecodeError)):
            list(pickletools.genops(file.read_bytes()))
