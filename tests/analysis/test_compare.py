import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from envs import FrozenLake, GridWorld
from jaxrl import InputError, compare, grid, load, train, write_report
from jaxrl.algorithms import QLearning
from jaxrl.analysis.scores import score_table
from jaxrl.cli.commands import main
from jaxrl.columns import CURVE_COLUMNS, RUN_COLUMNS
from jaxrl.report.summary import summarise
from jaxrl.statistics import describe, difference_interval, final_scores
from jaxrl.statistics.intervals import RESAMPLING_SEED
from jaxrl.store.files import file_hash
from tests.studies import full
from tests.test_layers import loaded

WORLDS = [FrozenLake(is_slippery=False), GridWorld(size=3)]
SETTINGS = {"seeds": 6, "steps": 400, "evaluate_every": 100, "evaluation_episodes": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two settings in two environments; `other` holds one of them and a third."""
    folder = tmp_path_factory.mktemp("studies")
    train(grid(QLearning(), learning_rate=[0.1, 0.5]), WORLDS, out=folder / "rates", **SETTINGS)
    train(grid(QLearning(), learning_rate=[0.1, 0.9]), WORLDS, out=folder / "other", **SETTINGS)
    return folder


def test_train_compare_and_report_give_the_same_intervals(folder, tmp_path):
    varied = changed(folder / "rates", tmp_path / "varied", eval_return=lambda rows: np.sin(rows.run))
    results = load(varied)
    compared = compare(varied).settings
    reported = pd.concat([each.description for each in summarise(results, np.random.default_rng(5)).sections])
    printed = describe(final_scores(results.runs, results.curves), np.random.default_rng(RESAMPLING_SEED))
    bounds = ["environment", "setting", "mean", "mean_low", "mean_high"]
    for other in (compared, reported):
        pd.testing.assert_frame_equal(printed[bounds], other[bounds].reset_index(drop=True))


def changed(source, target, status=None, **values):
    """A copy of a study with other statuses of its runs and other values of some metrics."""
    shutil.copytree(source, target)
    curves, runs = pd.read_parquet(target / "curves.parquet"), pd.read_parquet(target / "runs.parquet")
    for metric, value in values.items():
        chosen = curves.metric == metric
        curves.loc[chosen, "value"] = value(curves[chosen].merge(runs, on="run")).to_numpy()
    if status is not None:
        runs["status"] = status(runs)
    write(target, curves=curves, runs=runs)
    return target


def write(folder, **tables):
    """Replaces tables of a study and their hashes in the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet")
        manifest["sha256"][f"{name}.parquet"] = file_hash(folder / f"{name}.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_the_tables_of_a_study_have_the_columns_that_statistics_expect(folder):
    results, fields = load(folder / "rates"), QLearning().parameters()
    columns = {name for name in results.runs if name not in fields and not name.startswith("env.")}
    assert columns == {*RUN_COLUMNS}
    assert {*results.curves} == {*CURVE_COLUMNS}


def test_all_pairs_of_one_study(folder, tmp_path):
    found = compare(folder / "rates", smallest_effect=0.5, out=tmp_path, all_pairs=True)
    assert found.pairs.environment.to_list() == ["FrozenLake-v1", "GridWorld-v0"]
    names = ["q_learning learning_rate=0.1", "q_learning learning_rate=0.5"]
    assert found.pairs[["a", "b"]].to_numpy().tolist() == [names, names]
    final, runs = load(folder / "rates").final(), load(folder / "rates").runs
    here = (runs.environment == "GridWorld-v0").to_numpy()
    a, b = (final[here & (runs.learning_rate == rate).to_numpy()] for rate in (0.1, 0.5))
    assert found.pairs.difference[1] == pytest.approx(a.mean() - b.mean())
    expected = difference_interval(a, b, np.random.default_rng(1))
    assert found.pairs.difference_low[1] == pytest.approx(expected.low, abs=0.5)
    assert (found.pairs.runs_a == 6).all()


def test_a_comparison_is_reproducible(folder, tmp_path):
    once, again = (compare(folder / "rates", out=tmp_path / name) for name in "ab")
    pd.testing.assert_frame_equal(once.pairs, again.pairs)
    assert [file.read_text() for file in once.files] == [file.read_text() for file in again.files]


def test_settings_of_several_folders_are_kept_apart(folder, tmp_path):
    found = compare([folder / "rates", folder / "other"], out=tmp_path, all_pairs=True)
    lake = found.settings[found.settings.environment == "FrozenLake-v1"]
    assert lake.setting.to_list() == [
        f"q_learning learning_rate=0.1 ({folder / 'rates'})",
        "q_learning learning_rate=0.5",
        f"q_learning learning_rate=0.1 ({folder / 'other'})",
        "q_learning learning_rate=0.9",
    ]
    assert (found.settings.runs == 6).all()
    assert len(found.pairs) == 2 * 6
    same = found.pairs[found.pairs.a.str.contains("rates") & found.pairs.b.str.contains("other")]
    assert (same.difference == 0).all()


def ranked(folder, tmp_path):
    """Four settings in each of two environments; the last one is the best, the third one the second best."""
    order = {0.1: 0.0, 0.5: 5.0, 0.9: 40.0}
    first, second = (
        changed(
            folder / name,
            tmp_path / name,
            eval_return=lambda rows, lift=lift: rows.seed + rows.learning_rate.map(order) + lift,
        )
        for name, lift in (("rates", 0.0), ("other", 20.0))
    )
    best, label = "q_learning learning_rate=0.9", "q_learning learning_rate=0.1 ({})"
    return [first, second], [best, label.format(second), "q_learning learning_rate=0.5", label.format(first)]


def test_each_setting_is_compared_with_the_best(folder, tmp_path, capsys):
    folders, order = ranked(folder, tmp_path)
    found = compare(folders, out=tmp_path)
    assert found.pairs.a.to_list() == order[1:] * 2
    assert set(found.pairs.b) == {order[0]}
    assert set(found.pairs.tests) == {2 * 6}  # the best could have been any setting
    assert found.reference == "best"
    every = compare(folders, out=tmp_path / "all", all_pairs=True).pairs
    assert len(every) == 2 * 6
    main(["compare", *map(str, folders), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    sides = re.findall(r"^ ([ab])  (q_learning learning_rate=0\.\d)", printed, re.MULTILINE)
    assert sides == [("a" if place else "b", name[:28]) for place, name in enumerate(order)] * 2
    assert "for all of them, 12 pairs" in printed.replace("\n", " ")
    assert "The same runs chose it" in printed


def test_each_setting_is_compared_with_a_baseline(folder, tmp_path, capsys):
    folders, order = ranked(folder, tmp_path)
    found = compare(folders, out=tmp_path, baseline=order[2])
    assert found.pairs.a.to_list() == [*order[:2], order[3]] * 2
    assert set(found.pairs.b) == {order[2]}
    assert set(found.pairs.tests) == {2 * 3}
    assert list(found.pairs.difference) == [55.0, 15.0, -5.0] * 2
    with pytest.raises(InputError, match="unknown baseline 'q_learning learning_rate=0\\.4': did you mean"):
        compare(folders, out=tmp_path, baseline="q_learning learning_rate=0.4")
    with pytest.raises(InputError, match="either a baseline or all pairs"):
        compare(folders, out=tmp_path, baseline=order[2], all_pairs=True)
    main(["compare", *map(str, folders), "--out", str(tmp_path), "--baseline", order[2]])
    assert "for the 6 pairs\ntested" in capsys.readouterr().out
    main(["compare", *map(str, folders), "--out", str(tmp_path), "--all-pairs"])
    assert "for the 12 pairs tested" in capsys.readouterr().out


def test_the_files_hold_the_pairs(folder, tmp_path):
    source = changed(
        folder / "rates",
        tmp_path / "study",
        eval_return=lambda rows: rows.seed + 100.0 * (rows.learning_rate > 0.3),
    )
    found = compare(source, smallest_effect=2)
    assert [file.name for file in found.files] == ["compare.csv", "compare.md", "compare.tex"]
    assert {file.parent for file in found.files} == {source}
    table = pd.read_csv(found.files[0])
    pd.testing.assert_frame_equal(table, found.pairs, check_dtype=False)
    assert set(table.verdict) == {"worse"}
    head, rule, *rows = found.files[1].read_text().splitlines()
    columns = [cell.strip() for cell in head.strip("|").split("|")]
    assert columns.index("a - b [95 %]") < columns.index("Welch") < columns.index("Holm")
    assert columns[-2:] == ["verdict", "runs needed"]
    assert rule.count("---") == len(columns)
    assert [row.count("|") for row in rows] == [len(columns) + 1] * 2
    assert "| -100 [-101.8, -98.17] |" in rows[0]
    tex = found.files[2].read_text()
    assert r"q\_learning learning\_rate=0.1" in tex
    assert r"a - b [95 \%]" in tex
    assert tex.count(r"\\") == 1 + 2


def test_each_metric_gives_its_own_scores(folder, tmp_path):
    """Curves rise linearly from 0 to the seed, so their last values, areas and training means differ."""
    source = changed(
        folder / "rates",
        tmp_path / "study",
        eval_return=lambda rows: rows.seed * rows.step / 400,
        **{"return": lambda rows: rows.seed * 10.0},
    )
    for metric, factor in [("eval_return", 1), ("auc", 0.5), ("training", 10), ("return", 10)]:
        table = score_table([load(source)], metric)
        np.testing.assert_allclose(table.score, table.seed * factor)
        means = compare(source, metric, out=tmp_path / metric).settings["mean"]
        np.testing.assert_allclose(means, 2.5 * factor)


def test_failed_runs_rank_below_all_scores(folder, tmp_path, capsys):
    source = changed(
        folder / "rates",
        tmp_path / "study",
        status=lambda runs: np.where(runs.run == 0, "failed", "complete"),
        eval_return=lambda rows: rows.seed + 10.0,
    )
    found = compare(source, out=tmp_path)
    assert found.settings.failed.to_list() == [1, 0, 0, 0]
    assert found.pairs.difference[0] == pytest.approx(13 - 12.5)
    assert found.pairs.improvement[0] == pytest.approx((0.5 + 1.5 + 2.5 + 3.5 + 4.5 + 5.5 - 0.5) / 36)
    assert found.pairs.by_ranks.to_list() == [True, False]
    main(["compare", str(source), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "6, 1 failed" in printed
    assert "A failed run ranks below all other runs." in printed


def test_columns_about_failures_are_not_hyper_parameters(folder, tmp_path):
    source = changed(folder / "rates", tmp_path / "study")
    runs = pd.read_parquet(source / "runs.parquet")
    runs["failed_iteration"], runs["failed_metric"] = np.arange(len(runs)), runs.run.astype(str)
    write(source, runs=runs)
    assert len(compare(source).settings) == 4


def test_the_smallest_effect_is_half_a_standard_deviation_by_default(folder, tmp_path):
    source = changed(folder / "rates", tmp_path / "study", eval_return=lambda rows: rows.seed * 2.0)
    found = compare(source)
    np.testing.assert_allclose(found.pairs.smallest_effect, np.std(2.0 * np.arange(6), ddof=1) / 2)
    assert set(found.pairs.runs_needed) == {64}
    constant = changed(folder / "rates", tmp_path / "constant", eval_return=lambda rows: 0 * rows.seed)
    assert set(compare(constant).pairs.verdict) == {"equivalent"}


def test_the_printed_tables(folder, tmp_path, capsys):
    arguments = ["--smallest-effect", "FrozenLake-v1=0.2,GridWorld-v0=1", "--out", str(tmp_path)]
    main(["compare", str(folder / "rates"), *arguments])
    printed = capsys.readouterr().out
    for words in ("learning_rate=0.1", "P(a beats b)", "Welch", "Mann-"):
        assert printed.count(words) == 2
    assert printed.count("learning_rate=0.5") == 2
    assert re.findall("matters: (.*)", printed) == ["0.2", "1"]
    assert str(tmp_path / "compare.tex") in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: FOLDER; see jaxrl compare --help"),
        (["rates", "rates/../rates"], "rates was given twice"),
        (["nowhere"], "nowhere is not a results folder"),
        (["single"], "nothing to compare: single holds a single setting, q_learning; add a folder"),
        (["rates", "budget"], "the budgets differ: rates has 400 steps, but budget has 300"),
        (["rates", "world"], "environments differ: rates has FrozenLake-v1, GridWorld-v0, but world has G"),
        (["worlds", "single"], "but single has GridWorld-v0 size=4"),
        (
            ["run", "single"],
            "a comparison needs at least 2 runs of each setting, but q_learning (run) in GridWorld-v0 has 1",
        ),
        (["rates", "--metric", "eval_retrun"], "unknown metric 'eval_retrun': did you mean 'eval_return'?"),
        (["rates", "--metric", "ac"], "unknown metric 'ac': did you mean 'auc'?"),
        (["rates", "--smallest-effect", "big"], "must be a number or environment=number,..., got 'big'"),
        (["rates", "--smallest-effect", "0"], "smallest_effect must be above 0 and finite, got 0.0"),
        (
            ["rates", "--smallest-effect", "GridWorld=1"],
            "environment 'GridWorld': did you mean 'GridWorld-v0'?",
        ),
        (["rates", "--smallest-effect", "GridWorld-v0=1"], "smallest_effect has no value for FrozenLake-v1"),
        (["rates", "--out", "/dev/null/x"], "/dev/null/x cannot be written: Not a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_study_that_cannot_be_compared_gives_one_sentence(arguments, sentence, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    small = SETTINGS | {"steps": 100}
    made = {
        "single": (GridWorld(), small),
        "run": (GridWorld(), small | {"seeds": 1}),
        "budget": (WORLDS, SETTINGS | {"steps": 300}),
        "world": (GridWorld(size=3), SETTINGS),
        "worlds": (grid(GridWorld(), size=[3, 5]), small),
    }
    for name in arguments:
        if name in made:
            world, settings = made[name]
            train(QLearning(), world, out=name, **settings)
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("jaxrl: ")
    assert sentence in error


def test_a_metric_that_one_study_lacks_is_refused(folder, tmp_path):
    source = changed(folder / "other", tmp_path / "study")
    curves = pd.read_parquet(source / "curves.parquet")
    write(source, curves=curves[curves.metric != "td_error"])
    with pytest.raises(InputError, match="has no value of the metric 'td_error'"):
        compare([folder / "rates", source], "td_error", out=tmp_path)


def test_the_smallest_effect_is_given_by_the_name_or_the_label_of_an_environment(tmp_path):
    worlds, rates = grid(GridWorld(), size=[3, 5]), grid(QLearning(), learning_rate=[0.1, 0.5])
    train(rates, worlds, out=tmp_path, **SETTINGS)
    effects = {"GridWorld-v0": 1.25, "GridWorld-v0 size=5": 2.75}
    assert compare(tmp_path, smallest_effect=effects).pairs.smallest_effect.to_list() == [1.25, 2.75]
    page = write_report(tmp_path, effects).read_text()
    assert "runs needed for 1.25" in page
    assert "runs needed for 2.75" in page


def test_a_comparison_loads_no_plotting_library():
    assert not loaded("import jaxrl.analysis.compare") & {"matplotlib", "plotly"}


def test_a_full_disk_leaves_the_earlier_tables(folder, tmp_path, monkeypatch):
    before = [file.read_bytes() for file in compare(folder / "rates", out=tmp_path).files]
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        compare(folder / "rates", out=tmp_path, smallest_effect=7)
    names = ("compare.csv", "compare.md", "compare.tex")
    assert [(tmp_path / name).read_bytes() for name in names] == before


def test_no_folder_is_refused():
    with pytest.raises(InputError, match="name at least one results folder"):
        compare([])
