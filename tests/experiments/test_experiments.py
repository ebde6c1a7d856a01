"""The experiments as scripts: their help, what they refuse, and their short forms."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrl import load

FOLDER = Path(__file__).parents[2] / "experiments"
SCRIPTS = sorted(file.stem for file in FOLDER.glob("*.py"))
SIZES = ["--seeds", "--steps", "--out"]
OPTIONS = {
    "bandit_regret": SIZES,
    "interval_coverage": ["--simulations", "--json"],
    "learning_table": [*SIZES, "--json"],
    "published_scores": SIZES,
    "quickstart": SIZES,
}


def exit_code(name, arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    return stop.value.code


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_help_begins_with_the_question_and_lists_the_options(name, monkeypatch, capsys):
    assert exit_code(name, ["--help"], monkeypatch) == 0
    printed = capsys.readouterr().out
    question = (FOLDER / f"{name}.py").read_text().partition("\n")[0].removeprefix('"""')
    assert "?" in question
    assert question in " ".join(printed.split())
    assert [option for option in (*OPTIONS[name], "--quick") if f"{option} " not in printed] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--qick"], "unknown option '--qick': did you mean '--quick'? known are --help, "),
        (["--quick=yes"], "argument --quick: ignored explicit argument 'yes'; see experiments/"),
    ],
)
@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_does_not_know_is_refused(name, arguments, sentence, monkeypatch, capsys):
    assert exit_code(name, arguments, monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"experiments/{name}.py: {sentence}")
    assert error.count("\n") == 1


def test_an_unknown_row_is_refused(monkeypatch, capsys):
    assert exit_code("learning_table", ["dqn Cartpole-v1"], monkeypatch) == 2
    assert "unknown row 'dqn Cartpole-v1': did you mean 'dqn CartPole-v1'?" in capsys.readouterr().err


def test_the_quick_quickstart(tmp_path):
    out = tmp_path / "quick"
    command = [sys.executable, FOLDER / "quickstart.py", "--quick", "--seeds", "2", "--out", out]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert f"report: {out}/report.html" in printed
    assert (out / "report.html").exists()
    runs = {name: load(out / name).runs for name in ("gridworld", "frozenlake", "cartpole")}
    assert {name: (len(table), table.steps[0]) for name, table in runs.items()} == {
        "gridworld": (2, 250),
        "frozenlake": (2, 10_000),
        "cartpole": (2, 3_584),
    }
    assert [file.name for file in tmp_path.iterdir()] == ["quick"]


def test_one_quick_row_of_the_learning_table(tmp_path, monkeypatch, capsys):
    """In this process, so that the other tests keep its number of devices."""
    monkeypatch.setattr("jaxrl.use_all_cores", lambda: None)
    monkeypatch.setattr("jaxrl.enable_compilation_cache", lambda: None)
    file, row = tmp_path / "table.json", "dqn FrozenLake-v1"
    arguments = [row, "--quick", "--steps", "400", "--out", str(tmp_path / "runs"), "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["learning_table.py", *arguments])
    runpy.run_path(str(FOLDER / "learning_table.py"), run_name="__main__")
    (written,) = json.loads(file.read_text())
    assert (written["row"], written["seeds"], written["steps"]) == (row, 4, 400)
    assert row in capsys.readouterr().out


def test_a_quick_table_of_coverage(tmp_path, monkeypatch, capsys):
    file = tmp_path / "coverage.json"
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", "--quick", "--json", str(file)])
    runpy.run_path(str(FOLDER / "interval_coverage.py"), run_name="__main__")
    assert json.loads(file.read_text())["simulations"] == 100
    assert "10 % of seeds fail" in capsys.readouterr().out
