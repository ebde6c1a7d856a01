"""The experiments as scripts: their help, what they refuse, and their short forms."""

import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxrl import InputError, Results, load, registry
from jaxrl.cli import arguments
from jaxrl.cli.training import train
from jaxrl.cli.usage import parse
from jaxrl.presets import PRESETS
from jaxrl.study.study import make_study

FOLDER = Path(__file__).parents[2] / "experiments"
SCRIPTS = sorted(file.stem for file in FOLDER.glob("*.py"))
PAGE = (FOLDER.parent / "docs" / "experiments.md").read_text()
SIZES = ["--seeds", "--steps", "--out"]
OPTIONS = {
    "bandit_regret": SIZES,
    "cartpole_many_ways": SIZES,
    "curriculum": SIZES,
    "exploration": SIZES,
    "how_many_seeds": SIZES,
    "interval_coverage": ["--simulations", "--json"],
    "memory": SIZES,
    "physics_randomisation": SIZES,
    "ppo_details": SIZES,
    "quickstart": SIZES,
    "results": [*SIZES, "--page"],
    "same_algorithm_twice": SIZES,
    "tables": SIZES,
    "throughput": SIZES,
    "time_limits": SIZES,
    "tutorials": SIZES,
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
    assert f"| `{name}.py` | {question} |" in PAGE
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
    assert exit_code("results", ["dqn Cartpole-v1"], monkeypatch) == 2
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


@pytest.mark.parametrize(
    ("name", "steps", "answer"),
    [
        ("cartpole_many_ways", "100", r"2  heuristic +4 +500 \[500, 500\]"),
        (
            "curriculum",
            "100",
            r"FrozenLake-v1, slippery from the start: .*\[.*\n  within 25% of the run: .*difference",
        ),
        ("exploration", "1010", r"DeepSea:\n  counts: mean return .*% \["),
        ("how_many_seeds", "1024", r"seeds +coverage +power 5 .*\n +5 [\d.]+ % \["),
        ("memory", "1024", r"TMaze, solved at 3.795:\n  a stack: mean return .*% \["),
        (
            "physics_randomisation",
            "512",
            r"those that may be drawn. Many: .*\n(?s:.*)heat_map.png shows every",
        ),
        (
            "ppo_details",
            "1024",
            r"CartPole +normalisation of advantages .*\nCartPole bootstrapping at the time",
        ),
        ("same_algorithm_twice", "1024", r"seeds +different +gap +means\n +2 [\d.]+ % \[.*\] .* to "),
        (
            "tables",
            "1000",
            r"(?s)the median of 4 runs\n[→↓] .*optimal: 100.0%.*mean shortfall.*\n1.00 +[\d.]+ ",
        ),
        ("throughput", "512", r"1 seed: .* s, .*\n4 seeds: .* times as long as 1 seed\npicture: "),
        ("tutorials", "4000", r"ε = 0.1: 0 % \[.*\] of 4 seeds, mean 0\n  with initial_value=1.0: 100 % \["),
        ("time_limits", "200", r"q_learning GridWorld-v0 .* \[.*\] .* \[.*\]"),
    ],
)
def test_the_quick_form_answers(name, steps, answer, tmp_path, monkeypatch, capsys):
    """In this process, so that the other tests keep its number of devices."""
    monkeypatch.setattr("jaxrl.use_all_cores", lambda: None)
    monkeypatch.setattr("jaxrl.enable_compilation_cache", lambda: None)
    monkeypatch.setattr(
        sys, "argv", [f"{name}.py", "--quick", "--steps", steps, "--out", str(tmp_path / "out")]
    )
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert re.search(answer, capsys.readouterr().out)


def test_a_page_without_a_table_is_refused(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    for text in (None, "# Results\n"):
        if text:
            page.write_text(text)
        assert exit_code("results", ["--quick", "--page", str(page)], monkeypatch) == 2
        assert (
            "page.md has no table between <!-- table --> and <!-- end of the table -->"
            in capsys.readouterr().err
        )


def test_quick_rows_of_the_results(tmp_path, monkeypatch):
    """In this process, so that the other tests keep its number of devices. The second row is added."""
    monkeypatch.setattr("jaxrl.compiled.cores.use_all_cores", lambda: None)
    monkeypatch.setattr("jaxrl.compiled.compilation_cache.enable_compilation_cache", lambda: None)
    page, rows = tmp_path / "page.md", ["dyna_q GridWorld-v0", "q_learning GridWorld-v0"]
    page.write_text("# Results\n<!-- table -->\n<!-- end of the table -->\nThe end.\n")
    for row in rows:
        arguments = [row, "--quick", "--steps", "100", "--out", str(tmp_path / "runs"), "--page", str(page)]
        monkeypatch.setattr(sys, "argv", ["results.py", *arguments])
        runpy.run_path(str(FOLDER / "results.py"), run_name="__main__")
    lines = page.read_text().splitlines()
    assert [line.split(" | ")[1] for line in lines[4:6]] == [
        "q_learning",
        "dyna_q learning_rate=0.5 planning_steps=20",
    ]
    assert lines[5].endswith(
        " | optimum 9.5 | `dyna_q GridWorld-v0 --preset --seeds 2000:2004 --steps 100 --width 4` |"
    )
    assert (lines[0], lines[-1]) == ("# Results", "The end.")
    kept = json.loads((tmp_path / "page" / "dyna_q-GridWorld-v0.json").read_text())
    assert kept["solved_return"] == pytest.approx(9.5, abs=1e-3)
    results = load(tmp_path / "runs" / "dyna_q-GridWorld-v0")
    assert kept["scores"] == results.final().to_list()
    assert kept["manifest"]["sha256"] == results.manifest["sha256"]


def script(name):
    """The functions of a script."""
    return runpy.run_path(str(FOLDER / f"{name}.py"))


def test_a_row_counts_failed_runs_and_is_not_replaced_by_one_of_another_command(tmp_path):
    results, name = script("results"), "ppo CartPole-v1"
    row = {
        "row": name,
        "environment": "CartPole-v1",
        "algorithm": "ppo",
        "command": "ppo",
        "solved_return": 475.0,
        "scores": [500.0, 500.0, None],
        "manifest": {"study": {"steps": 1_000}},
    }
    assert "| 1,000 | 3, 1 failed | 500 [500, 500] |  | ≥ 475: 66.7 % [" in results["line"](row)
    page = tmp_path / "page.md"
    page.write_text("<!-- table -->\n<!-- end of the table -->\n")
    results["keep"](row, page)
    with pytest.raises(InputError, match=r"ppo-CartPole-v1.json is of another command, ppo; remove it or"):
        results["keep"](row | {"command": "dqn"}, page)
    assert "3, 1 failed" in page.read_text()


def test_every_preset_has_a_row():
    rows = [tuple(row.split()[:2]) for row in tomllib.loads((FOLDER / "results.toml").read_text())]
    assert {*rows} == {*PRESETS}


def test_a_tutorial_is_judged_after_its_episodes(tmp_path):
    """The first run ends 10 episodes in each chunk, the second 2, the third none, and the fourth failed."""
    values = {"length": [[10, 10, 10], [50, 50, 50], [np.nan] * 3, [10, np.nan, np.nan]]}
    values["eval_return"] = [[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, np.nan, np.nan]]
    rows = [
        (run, step, metric, value)
        for metric, runs in values.items()
        for run, each in enumerate(runs)
        for step, value in zip([100, 200, 300], each, strict=True)
    ]
    curves = pd.DataFrame(rows, columns=["run", "step", "metric", "value"])
    runs = pd.DataFrame({"run": range(4), "status": ["complete"] * 3 + ["failed"]})
    scores = script("tutorials")["judged"](Results(tmp_path, {}, runs, curves), 15)
    np.testing.assert_array_equal(scores, [2, 3, 3, np.nan])


def test_every_tutorial_has_settings_that_fit():
    for tutorial in tomllib.loads((FOLDER / "tutorials.toml").read_text()).values():
        algorithm, environment = tutorial["train"].split()
        env = registry.configured(registry.environment(environment), tutorial.get("env", {}), {})
        for changes in ({}, tutorial.get("mended", {})):
            settings = tutorial.get("set", {}) | changes
            registry.configured(registry.algorithm(algorithm), settings, {}).validate_for(env)


@pytest.mark.parametrize("row", tomllib.loads((FOLDER / "results.toml").read_text()))
def test_every_row_of_the_results_is_a_study(row):
    names, options = parse(train, "jaxrl train", [*shlex.split(row), "--seeds", "1"])
    study = arguments.chosen(*names, preset=True, config=None, trust=())
    make_study(**arguments.changed(study, options["set"], options["env"], (), seeds=options["seeds"]))


def test_a_quick_table_of_coverage(tmp_path, monkeypatch, capsys):
    file = tmp_path / "coverage.json"
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", "--quick", "--json", str(file)])
    runpy.run_path(str(FOLDER / "interval_coverage.py"), run_name="__main__")
    assert json.loads(file.read_text())["simulations"] == 100
    assert "10 % of seeds fail" in capsys.readouterr().out
