import json

import numpy as np
import pandas as pd
import pytest

from envs import GridWorld
from jaxrl import InputError, grid, load, registry, resume, select, train
from jaxrl.algorithms import QLearning
from jaxrl.analysis.console import print_selection
from jaxrl.cli.commands import main
from jaxrl.statistics import expected_optimism, mean_interval
from jaxrl.statistics import select as rank
from tests.analysis.test_compare import changed
from tests.columns import listed_columns

BUDGET = {"steps": 700, "evaluate_every": 100, "evaluation_episodes": 2}
RATES = [0.0, 0.5]  # the first learns nothing


class Other(QLearning):
    pass


@pytest.fixture(scope="module", autouse=True)
def other_is_registered():
    registry.algorithms()["other"] = Other()
    yield
    del registry.algorithms()["other"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of two environments, an algorithm with a good and a bad setting, and one with a single setting."""
    folder = tmp_path_factory.mktemp("search") / "study"
    algorithms = [*grid(QLearning(), learning_rate=RATES), Other()]
    train(algorithms, grid(GridWorld(size=3), max_steps=[20, 60]), seeds="5:10", out=folder, **BUDGET)
    return folder


@pytest.fixture(scope="module")
def ranking(folder):
    return select(folder, "auc")


def test_the_best_setting_of_each_algorithm_and_environment_is_trained_again(folder, ranking):
    chosen = ranking[ranking.fresh_runs.notna()]
    labels = ["GridWorld-v0 max_steps=20", "GridWorld-v0 max_steps=60"]
    assert chosen.environment.to_list() == [labels[0]] * 2 + [labels[1]] * 2
    assert chosen.setting.to_list() == ["q_learning learning_rate=0.5", "other"] * 2
    assert len(ranking) == 6
    q_learning = ranking[ranking.algorithm == "q_learning"]
    assert q_learning.probability_best.to_list() == [1, 0] * 2
    assert (ranking[ranking.algorithm == "other"].optimism == 0).all()
    for label, path in zip(labels, chosen.fresh_folder.unique(), strict=True):
        assert path == str(folder / "selected-auc" / label.replace(" ", "-"))
        runs = load(path).runs
        assert runs.seed.to_list() == list(range(10, 15)) * 2
        assert (runs["env.max_steps"] == int(label[-2:])).all()
        assert set(runs.learning_rate[runs.algorithm == "q_learning"]) == {0.5}


def test_the_docstring_lists_the_columns(ranking):
    assert listed_columns(select) | listed_columns(rank) == set(ranking.columns)


def test_fresh_runs_have_the_budget_evaluations_and_generator_of_the_study(folder, ranking, tmp_path):
    """They have the bits of a training of the same setting on the fresh seeds."""
    again = train(
        [QLearning(learning_rate=0.5), Other()],
        GridWorld(size=3, max_steps=20),
        seeds="10:15",
        width=10,
        out=tmp_path / "direct",
        **BUDGET,
    )
    fresh = load(ranking.fresh_folder[0])
    assert load(folder).manifest["plan"]["width"] > fresh.manifest["plan"]["width"] == 10  # runs
    pd.testing.assert_frame_equal(fresh.curves, again.curves)
    spec = load(folder).manifest["study"] | fresh.manifest["study"]
    assert load(folder).manifest["study"]["prng"] == spec["prng"]


def test_areas_score_the_study_and_the_fresh_runs(folder, ranking):
    searched = load(folder)
    runs = searched.runs[(searched.runs.learning_rate == 0.5) & (searched.runs["env.max_steps"] == 60)]
    row = ranking[
        (ranking.environment == "GridWorld-v0 max_steps=60") & (ranking.algorithm == "q_learning")
    ].iloc[0]

    def areas(results, numbers):
        values = results.metric("eval_return").loc[numbers].to_numpy()
        return np.trapezoid(values, dx=100, axis=1) / 700

    assert row.score == pytest.approx(areas(searched, runs.run).mean())
    fresh = load(row.fresh_folder)
    scores = areas(fresh, fresh.runs.run[fresh.runs.algorithm == "q_learning"])
    estimate, low, high = mean_interval(scores, np.random.default_rng(0))
    assert row.fresh == pytest.approx(estimate)
    assert (row.fresh_low, row.fresh_high) == pytest.approx((low, high), abs=0.5)
    assert row.fresh_runs == 5
    bad = searched.runs[(searched.runs.learning_rate == 0) & (searched.runs["env.max_steps"] == 60)]
    variances = [areas(searched, chosen.run).var(ddof=1) for chosen in (runs, bad)]
    assert row.optimism == pytest.approx(expected_optimism(2, 5) * np.sqrt(np.mean(variances)))


@pytest.mark.usefixtures("ranking")
def test_complete_fresh_runs_are_read_and_printed(folder, capsys):
    main(["select", str(folder), "--metric", "auc"])
    out, err = capsys.readouterr()
    assert err.count("complete: read, not trained") == 2
    for words in ("selection score", "P(best)", "optimism up to", "fresh score [95 %]"):
        assert out.count(words) == 4
    assert "100 %" in out
    assert str(folder / "selected-auc" / "GridWorld-v0-max_steps=20") in out


def test_chosen_seeds_and_folder(folder, tmp_path):
    found = select(folder, "auc", seeds=2, out=tmp_path / "fresh")
    chosen = found[found.fresh_runs.notna()]
    assert set(chosen.fresh_runs) == {2}
    assert sorted(path.name for path in (tmp_path / "fresh").iterdir()) == [
        "GridWorld-v0-max_steps=20",
        "GridWorld-v0-max_steps=60",
    ]


@pytest.mark.usefixtures("ranking")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["study", "--seeds", "5:12"], "seed 5 was used in the selection: choose others, such as 10:15"),
        (["study", "--seeds", "9:12"], "seed 9 was used in the selection"),
        (["study", "--seeds", "few"], "seeds must be a count (128), a range (100:200)"),
        (["study", "--metric", "acu"], "unknown metric 'acu': did you mean 'auc'?"),
        (["study", "--metric", "auc", "--seeds", "50:51"], "holds another study, which differs in seeds"),
        (["single"], "single has nothing to select from: each algorithm has a single setting"),
        (["once"], "P(best) needs at least 2 runs of each setting, but 'q_learning learning_rate=0' has 1"),
        (["nowhere"], "nowhere is not a results folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_study_without_a_choice_gives_one_sentence(arguments, sentence, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    train(QLearning(), GridWorld(size=3), seeds=2, out="single", **BUDGET)
    train(grid(QLearning(), learning_rate=RATES), GridWorld(size=3), seeds=1, out="once", **BUDGET)
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(["select", *arguments])
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert sorted(folder.rglob("*")) == before


def test_a_metric_of_a_further_evaluation_environment_selects(tmp_path):
    train(
        grid(QLearning(), learning_rate=RATES),
        GridWorld(size=3),
        seeds=2,
        out=tmp_path,
        evaluate_in={"short": GridWorld(size=3, max_steps=5)},
        **BUDGET,
    )
    best = select(tmp_path, "eval_return/short").iloc[0]
    assert best.setting == "q_learning learning_rate=0.5"
    assert best.fresh_folder == str(tmp_path / "selected-eval_return-short" / "GridWorld-v0")
    assert best.fresh == load(best.fresh_folder).final("eval_return/short").mean()


def test_a_study_of_other_code_is_refused(folder, tmp_path):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["study"]["algorithms"][0]["code"] = "0" * 16
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for name in ("runs.parquet", "curves.parquet"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(InputError, match="was trained with other code of its algorithms"):
        select(tmp_path)


def test_fresh_runs_of_an_extended_study_are_extended_too(tmp_path):
    """The study has seeds 0 to 3. Its runs and the fresh ones train to 700 steps, and then to 900."""
    folder = tmp_path / "study"
    train(grid(QLearning(), learning_rate=RATES), GridWorld(size=3), seeds=2, out=folder, **BUDGET)
    resume(folder, more_seeds="2:4", steps=900)
    found = [select(folder), select(folder)]
    pd.testing.assert_frame_equal(*found)
    fresh = load(found[0].fresh_folder[0])
    assert fresh.runs.seed.to_list() == [4, 5, 6, 7]
    assert fresh.manifest["study"]["more_steps"] == [900]
    assert fresh.metric("eval_return").columns[-1] == 900
    with pytest.raises(InputError, match="seed 3 was used in the selection: choose others, such as 4:8"):
        select(folder, seeds=[3])


def test_a_failed_run_makes_the_selection_use_ranks_but_means_are_printed(folder, tmp_path, capsys):
    search = changed(
        folder,
        tmp_path / "search",
        status=lambda runs: np.where(runs.run == 0, "failed", "complete"),
        eval_return=lambda rows: 200.0 + rows.seed + 100 * (rows.learning_rate == 0.5),
    )
    ranking = select(search, "auc", out=tmp_path / "fresh")
    print_selection(ranking)
    printed = capsys.readouterr().out
    assert "207.5, 1 failed" in printed  # the mean of the seeds 6 to 9
    assert "307" in printed
    here = ranking[(ranking.environment == "GridWorld-v0 max_steps=20") & (ranking.algorithm == "q_learning")]
    assert here["mean"].to_list() == pytest.approx([307.0, 207.5])
    assert (here.score < 1).all()
    spread = np.sqrt(np.mean([np.var([5, 6, 7, 8, 9], ddof=1), np.var([6, 7, 8, 9], ddof=1)]))
    assert here.optimism.to_list() == pytest.approx([expected_optimism(2, 4) * spread] * 2)
    assert "A failed run ranks below all other runs." in printed
