import dataclasses
import os
import re

import numpy as np
import pandas as pd
import pytest

from envs import FrozenLake, GridWorld
from jaxrl import InputError, grid, load, train, write_report
from jaxrl.algorithms import QLearning
from jaxrl.report.conclusions import findings, limits, study_limits
from jaxrl.report.curve_figures import learning_curves
from jaxrl.report.curves import POINTS, RESAMPLED, SEEDS, STUDY_SEEDS
from jaxrl.report.glance import chips, sparkline
from jaxrl.report.page import abridged, figures_of, find_studies, marked, render, time_of, write_studies
from jaxrl.report.summary import summarise
from jaxrl.statistics import (
    Interval,
    compare_all,
    curve_band,
    final_scores,
    mean_interval,
    pilot_runs_needed,
    simultaneous_band,
    tolerance_band,
    within_run_iqr,
)
from jaxrl.text import bounds, file_name, listed, number, percent, short_names, wrapped
from tests.report.sections import FAST, NAN, SLOW, noise, pole, rng, section_of
from tests.studies import full, made_study

TRAINED = {"seeds": 5, "steps": 600, "evaluate_every": 100, "evaluation_episodes": 4}


def said(sentences, *words):
    """Whether exactly one sentence has all the words."""
    return sum(all(word in sentence for word in words) for sentence in sentences) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of a trained study of two environments and two settings."""
    folder = tmp_path_factory.mktemp("studies")
    algorithms = grid(QLearning(), learning_rate=[0.1, 0.5])
    train(algorithms, [FrozenLake(), GridWorld()], out=folder / "tables", **TRAINED)
    write_report(folder / "tables")
    return folder


def test_numbers_are_those_of_the_statistics(folder):
    results = load(folder / "tables")
    summary = summarise(results, rng())
    assert [section.environment for section in summary.sections] == ["FrozenLake-v1", "GridWorld-v0"]
    section = summary.sections[1]
    assert section.shown == ["q_learning learning_rate=0.1", "q_learning learning_rate=0.5"]
    assert section.names[section.shown[0]] == "learning_rate=0.1"
    scores = final_scores(results.runs, results.curves)
    for setting in section.shown:
        own = scores[(scores.environment == "GridWorld-v0") & (scores.setting == setting)]
        row = section.of(setting)
        assert row["mean"] == pytest.approx(own.score.mean())
        assert row["mean_low"] == pytest.approx(mean_interval(own.score.to_numpy(), rng()).low, abs=8)
        curves = section.curves["evaluation"][setting]
        assert curves.bands["mean"].iloc[-1] == pytest.approx(own.score.mean())
        np.testing.assert_allclose(curves.single.iloc[:, -1], own.score)
    pairs = compare_all(scores, rng(), None)
    assert section.comparisons["difference"].iloc[0] == pytest.approx(pairs["difference"].iloc[1])


def test_bands_are_those_of_the_statistics(tmp_path):
    scores = noise(0, 400, 50)
    scores[3] = NAN
    results = pole(tmp_path, scores)
    bands = section_of(results).curves["evaluation"]["ppo"].bands
    table = results.metric("eval_return").to_numpy()
    for name, (low, high) in {
        "pointwise": curve_band(table, rng()),
        "whole": simultaneous_band(table, rng()),
        "tolerance": tolerance_band(table),
    }.items():
        np.testing.assert_allclose(bands[f"{name}_low"], low, rtol=0.02)
        np.testing.assert_allclose(bands[f"{name}_high"], high, rtol=0.02)


def test_verdicts_in_words(tmp_path):
    scores = noise(0, 400, 60)
    section = section_of(pole(tmp_path, scores, scores[::-1] + 50))
    assert section.best == FAST
    assert said(
        findings(section), "`learning_rate=0.001` is better than `learning_rate=0.0001`", "higher by 50 ["
    )
    section = section_of(pole(tmp_path, scores + 50, scores[::-1]))
    assert said(
        findings(section), "`learning_rate=0.0001` is better than `learning_rate=0.001`", "higher by 50 ["
    )
    near = pole(tmp_path, scores, scores[::-1] + 1)
    assert said(
        findings(section_of(near, smallest_effect=40)), "are equivalent", "differ by 1 [-", "less than 40"
    )
    undecided = findings(section_of(near))
    assert said(undecided, "is undecided", "more than 1,024 runs of each")
    assert said(limits(section_of(near)), "No smallest effect")
    assert not said(limits(section_of(near, smallest_effect={"CartPole-v1": 40.0})), "No smallest effect")


def test_undecided_comparisons_say_what_they_would_take(tmp_path):
    slow, fast = noise(0, 400, 10), noise(1, 410, 10)
    results = pole(tmp_path, slow, fast)
    needed = int(summarise(results, rng(), 15.0).sections[0].comparisons["runs_needed"].iloc[0])
    assert needed > 30
    assert said(
        findings(section_of(results, smallest_effect=15.0)), "undecided", f"{needed} runs of each", " 15 "
    )
    seen = section_of(results).comparisons["pilot_runs"].iloc[0]
    assert seen == pytest.approx(pilot_runs_needed(slow, fast, rng()), rel=0.2)
    assert said(
        findings(section_of(results)), "If that is the true difference", f"{int(seen):,} runs of each"
    )


def test_a_difference_that_only_the_correction_leaves_undecided_is_explained(tmp_path):
    groups = {
        rate: noise(int(1e5 * rate), mean, 10)
        for rate, mean in [(1e-4, 400), (2e-4, 401), (3e-4, 402), (4e-4, 432)]
    }
    section = section_of(
        made_study(tmp_path, {("CartPole-v1", rate): scores for rate, scores in groups.items()})
    )
    pairs = section.comparisons
    assert (
        (pairs["verdict"] == "undecided") & (pairs["difference_low"] * pairs["difference_high"] > 0)
    ).any()
    assert any("undecided" in words and "after Holm's correction" in words for words in findings(section))


def test_what_few_runs_cannot_show(tmp_path):
    assert said(
        limits(section_of(pole(tmp_path, noise(0, 400, 45)))), "no tolerance interval", "46 runs", "are 45"
    )
    enough = section_of(pole(tmp_path, noise(0, 400, 46)))
    assert not said(limits(enough), "no tolerance interval")
    assert said(findings(enough), "With 95 % confidence, nine in ten further runs")
    mixed = section_of(pole(tmp_path, noise(0, 400, 46), noise(1, 400, 8)))
    assert said(limits(mixed), "no tolerance interval", f"for `{FAST}`", "are 8")


def test_what_a_choice_among_settings_cannot_show(tmp_path):
    one = section_of(pole(tmp_path, noise(0, 400, 8)))
    assert said(limits(one), "one setting only")
    groups = {("CartPole-v1", 1e-4 * (i + 1)): noise(i, 400, 8) for i in range(9)}
    summary = summarise(made_study(tmp_path, groups), rng())
    (many,) = summary.sections
    optimism = number(many.selection["optimism"].iloc[0])
    assert said(limits(many), "best of 9 settings", f"by {optimism} on average")
    assert said(limits(many), "Of 9 settings the best 6")
    assert len(many.shown) == 6
    assert many.best in many.shown
    assert len(many.comparisons) == 15
    assert set(many.comparisons.tests) == {36}  # the runs that are compared chose the six of nine
    rows, more = render([summary], [[[], []]], "").split("<summary>3 more settings</summary>")
    assert [part.count("<tr><td>") for part in (rows, more.partition("</details>")[0])] == [6, 3]
    assert len(many.description) == 9


def test_failed_runs_are_the_worst_and_are_named(tmp_path):
    scores = noise(0, 400, 50)
    scores[[3, 7]] = NAN
    section = section_of(pole(tmp_path, scores, noise(1, 380, 50)))
    assert said(limits(section), "Runs failed: 2 of 50", SLOW, "flatters")
    assert section.profile[section.profile.setting == SLOW]["share"].iloc[0] == pytest.approx(48 / 50)
    assert len(section.curves["evaluation"][SLOW].single) == SEEDS // 2
    assert 3 not in section.curves["evaluation"][SLOW].single.index


def test_no_sentence_quotes_a_number_for_runs_that_failed(tmp_path):
    fine, failing = noise(0, 400, 20), np.full(20, NAN)
    words = findings(section_of(pole(tmp_path, fine, failing)))
    assert said(words, "`learning_rate=0.0001` is better", "with a chance of 100 % [100, 100]")
    assert not any("higher by" in sentence for sentence in words)
    few = noise(1, 400, 20)
    few[:2] = NAN
    section = section_of(pole(tmp_path, few, fine), smallest_effect=100.0)
    assert said(findings(section), "undecided", "with a chance of", "runs of each")
    assert section.best == FAST
    pair = section.comparisons.iloc[0]
    chance = Interval(1 - pair.improvement, 1 - pair.improvement_high, 1 - pair.improvement_low)
    assert said(findings(section), percent(chance))


def test_what_a_setting_lacks_whose_runs_all_failed_is_not_said_to_be_unrecorded(tmp_path):
    section = section_of(pole(tmp_path, np.full(4, NAN), [1.0, 2.0]))
    assert said(limits(section), f"no evaluation curve of `{SLOW}`: all its runs failed")
    assert not said(limits(section), "no value was recorded")


def test_time_to_solve(tmp_path):
    """Runs climb to their scores in four steps of 25,000: at 475 of 500 only at the end, of 1,000 halfway."""
    fast, slow = [1_000.0] * 8, [500.0] * 3 + [400.0] * 4 + [NAN]
    section = section_of(pole(tmp_path, slow, fast))
    assert section.of(FAST)["time"] == section.of(FAST)["time_low"] == 50_000
    assert np.isnan(section.of(SLOW)["time"])
    slow_curve = section.reached[section.reached.setting == SLOW]
    assert list(slow_curve.step) == [0, 100_000]
    assert slow_curve.share.to_list() == pytest.approx([0, 3 / 8])
    assert time_of(section.of(FAST), 475.0) == "50,000 [50,000, later]"
    assert time_of(section.of(SLOW), 475.0) == "not by half"
    assert time_of(section.of(SLOW), None) == "-"


def test_an_environment_without_a_threshold_leaves_the_others_theirs(tmp_path):
    groups = {(name, 1e-4): [500.0, 600.0] for name in ("A-v0", "B-v0")}
    sections = summarise(made_study(tmp_path, groups, solved=[475.0, 475.0, NAN, NAN]), rng()).sections
    assert [section.reached.empty for section in sections] == [False, True]
    assert np.isnan(sections[1].description["time"]).all()


def test_how_much_runs_waver(tmp_path):
    results = pole(tmp_path, [4.0, 4.0, 8.0])
    values = np.concatenate([[0, 1, 0, 3, 4.0], [0, 1, 2, 3, 4.0], [0, 8, 0, 8, 8.0]])
    curves = results.curves.assign(value=np.tile(values, 2))
    expected = np.median(within_run_iqr(values.reshape(3, 5)))
    assert section_of(dataclasses.replace(results, curves=curves)).of("ppo")["within"] == expected > 0


def test_the_power_is_also_that_of_resampled_runs(tmp_path):
    power = section_of(pole(tmp_path, noise(0, 400, 200))).power
    dots = power.dropna(subset="resampled")
    assert set(dots.runs) == set(RESAMPLED)
    many = dots[dots.runs >= 8]
    np.testing.assert_allclose(many.resampled, many.power, atol=0.06)


def test_comparisons_are_of_letters(tmp_path):
    html = write_studies([pole(tmp_path, [1.0, 2.0], [2.0, 3.0])], tmp_path).read_text()
    row = html.split("pair of settings")[1].split("</tr>")[1]
    assert re.findall(r'title="(.*?)">(.)</span>', row) == [
        ("learning_rate=0.0001", "A"),
        ("learning_rate=0.001", "B"),
    ]


def test_many_settings_with_failed_runs_are_counted_together(tmp_path):
    groups = {("CartPole-v1", 1e-4 * (i + 1)): [NAN, NAN, *noise(i, 400, 8)] for i in range(7)}
    section = section_of(made_study(tmp_path, groups))
    assert said(limits(section), "2 of 10 of `ppo learning_rate=0.0004` and 6 of 30 of 3 other settings")


def test_where_a_run_failed_is_in_the_page_and_no_hyper_parameter(tmp_path):
    scores = [400.0, 410.0, NAN, NAN]
    where = {
        "failed_iteration": pd.array([None, None, 1234, None], "Int64"),
        "failed_metric": pd.array([None, None, "state", None], "string"),
    }
    results = pole(tmp_path, scores, **where)
    html = write_studies([results], tmp_path).read_text()
    rows = re.findall(
        r"<tr><td>ppo</td><td>CartPole-v1</td><td>(\d)</td><td>(\d)</td><td>(.*?)</td></tr>", html
    )
    assert rows == [("2", "2", "state, at iteration 1,234"), ("3", "3", "state, at its end")]


@pytest.mark.parametrize(
    ("scores", "options", "figures", "words"),
    [
        ([[412.0]], {}, {"learning-curves", "final-scores", "intervals", "performance-profile"}, "single run says nothing"),
        ([[9.5] * 5], {}, {"learning-curves", "final-scores", "intervals", "performance-profile"}, "score the same"),
        ([[9.5] * 5] * 2, {}, {"learning-curves", "final-scores", "intervals", "performance-profile", "improvement", "sensitivity-ppo-learning_rate"}, "no setting has runs that differ"),
        ([[0.0] * 5], {}, {"learning-curves", "final-scores", "intervals", "performance-profile"}, "score the same"),
        ([[NAN] * 4], {}, set(), "No run has a score"),
        ([[NAN] * 4, [NAN] * 3], {}, set(), "No run has a score"),
        ([[NAN] * 4, [1.0, 2.0]], {}, {"learning-curves", "final-scores", "intervals", "performance-profile", "improvement", "sensitivity-ppo-learning_rate", "power"}, "Runs failed: 4 of 4"),
        ([[1.0, 2.0, 3.0]], {"solved": NAN}, {"learning-curves", "final-scores", "intervals", "performance-profile", "power"}, "No return counts as solved"),
        ([[1.0, 2.0, 3.0]], {"metrics": ("return",)}, {"learning-curves", "final-scores", "intervals", "performance-profile", "power"}, "holds no evaluations"),
        ([[1.0, 2.0, 3.0]], {"metrics": ("eval_return",)}, {"learning-curves", "final-scores", "intervals", "performance-profile", "power"}, "one setting only"),
        ([[1.0, 2.0, 3.0]], {"metrics": ("loss",)}, set(), "neither evaluations nor training returns"),
    ],
)  # fmt: skip
def test_a_report_is_made_of_anything_and_says_what_it_lacks(tmp_path, scores, options, figures, words):
    results = pole(tmp_path, *scores, **options)
    section = section_of(results)
    assert {figure.name for figure in figures_of(section)} == figures
    assert any(words in sentence for sentence in limits(section))
    html = write_studies([results], tmp_path).read_text()
    assert str(marked(next(sentence for sentence in limits(section) if words in sentence))) in html
    assert len(list((tmp_path / "figures").iterdir())) == 3 * len(figures)


def test_a_training_curve_without_values_is_said_to_be_missing(tmp_path):
    results = pole(tmp_path, [1.0, 2.0], [3.0, 4.0])
    rows = (results.curves.metric == "return") & (results.curves.run < 2)
    results = dataclasses.replace(
        results, curves=results.curves.mask(rows & (results.curves.value > -1), NAN).dropna()
    )
    section = section_of(results)
    assert said(limits(section), "no training curve", f"of `{SLOW}`")
    assert len(learning_curves(section).marks) == 2 * 2 * 5 + 1


def test_one_aggregate_over_environments_that_can_be_normalised(tmp_path):
    groups = {(f"E{i}-v0", rate): noise(i, 300 + 1e4 * rate, 8) for i in range(3) for rate in (1e-4, 1e-3)}
    summary = summarise(made_study(tmp_path, groups), rng())
    overall = summary.overall.of(FAST)
    means = [section.of(FAST)["mean"] / 475 for section in summary.sections]  # 0 before training, 475 solves
    assert overall["mean"] == pytest.approx(np.mean(means))
    assert overall["environments"] == 3
    assert said(study_limits(summary), "over these 3 environments")
    assert summarise(made_study(tmp_path, groups, solved=NAN), rng()).overall is None
    alone = summarise(pole(tmp_path, [1.0, 2.0]), rng())
    assert alone.overall is None
    assert said(study_limits(alone), "one environment only", "no aggregate")
    unknown = summarise(made_study(tmp_path, groups, solved=NAN), rng())
    assert said(study_limits(unknown), "no aggregate", "differ in scale")


def test_curves_are_down_sampled_and_single_seeds_are_few(tmp_path):
    groups = {(f"E{i}-v0", rate): noise(i, 400, 16) for i in range(10) for rate in (1e-4, 1e-3)}
    curves = [
        each
        for section in summarise(made_study(tmp_path, groups, points=301), rng()).sections
        for each in section.curves["evaluation"].values()
    ]
    assert {len(each.bands) for each in curves} == {POINTS}
    assert {(each.bands["step"].iloc[0], each.bands["step"].iloc[-1]) for each in curves} == {(0, 100_000)}
    assert sum(len(each.single) for each in curves) == STUDY_SEEDS


def test_figures_are_written_in_three_formats(folder):
    names = {file.name for file in (folder / "tables" / "figures").iterdir()}
    kinds = ["learning-curves", "final-scores", "intervals", "performance-profile", "improvement"]
    kinds += ["sensitivity-q_learning-learning_rate", "power"]
    for kind in kinds:
        for environment in ("FrozenLake-v1", "GridWorld-v0"):
            for suffix in ("svg", "pdf", "png"):
                if f"{kind}-{environment}.{suffix}" not in names:
                    assert kind == "power"  # without any spread there is none
    figures = folder / "tables" / "figures"
    assert (figures / "final-scores-GridWorld-v0.svg").read_text().startswith("<?xml")
    assert (figures / "final-scores-GridWorld-v0.pdf").read_bytes().startswith(b"%PDF")
    assert (figures / "final-scores-GridWorld-v0.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_results_give_the_same_report(tmp_path):
    results = pole(tmp_path, noise(0, 400, 8), noise(1, 410, 8))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_studies([results], tmp_path / "a")
    write_studies([results], tmp_path / "b")
    for file in (tmp_path / "a" / "figures").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / "figures" / file.name).read_bytes(), file.name
    first, second = ((tmp_path / name / "report.html").read_text() for name in "ab")
    assert first.replace("<title>jaxrl: a</title>", "").replace("<h1>a</h1>", "") == second.replace(
        "<title>jaxrl: b</title>", ""
    ).replace("<h1>b</h1>", "")


def test_studies_in_one_folder_have_figures_of_their_own(tmp_path):
    for name in "ab":
        train(QLearning(), GridWorld(max_steps=500), seeds=1, steps=10, out=tmp_path / name)
    html = write_report(tmp_path).read_text()
    assert html.count("<section>") == 4  # an environment and the study, twice
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"learning-curves-a-GridWorld-v0.svg", "learning-curves-b-GridWorld-v0.svg"} <= names


def test_the_page_is_one_file_without_addresses(folder):
    html = (folder / "tables" / "report.html").read_text()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)\s*=", html)
    assert "default-src 'none'" in html
    for words in (
        "FrozenLake-v1",
        "GridWorld-v0",
        "learning_rate=0.5",
        "q_learning",
        "Holm",
        "steps/s",
        "evaluate_every",
    ):
        assert words in html


def test_a_section_begins_with_its_numbers_and_shows_a_small_curve_of_each_setting(tmp_path):
    scores = {("CartPole-v1", 1e-3): [100.0, 200.0], ("CartPole-v1", 3e-3): [300.0, 400.0]}
    study = made_study(tmp_path, scores)
    section = section_of(study)
    values = dict(chips(section))
    assert values["runs"] == "4"
    assert values["final mean of the best of 2 settings, chosen by these runs"] == "350 [300, 400]"
    assert values["solved of the best of 2 settings, chosen by these runs"].startswith("0 % [0, ")
    html = write_studies([study], tmp_path).read_text()
    assert html.count('<svg class="spark"') == 2
    points = [re.search('points="(.*)"', sparkline(section, setting))[1] for setting in section.shown]
    ends = [float(each.split(",")[-1]) for each in points]
    assert ends[0] > ends[1] == 1.0  # the best ends at the top
    assert not sparkline(section, "another")


def test_names_are_escaped(tmp_path):
    scores = {("<b>E&-v0", "</script>"): [1.0, 2.0], ("<b>E&-v0", "x"): [2.0, 3.0]}
    html = write_studies([made_study(tmp_path, scores)], tmp_path).read_text()
    assert "<h2>&lt;b&gt;E&amp;-v0" in html
    assert "learning_rate=</script>" not in html


def test_a_thousand_runs_fit_a_page(tmp_path):
    groups = {("CartPole-v1", rate): noise(i, 400, 250) for i, rate in enumerate([1e-4, 3e-4, 1e-3, 3e-3])}
    page = write_studies([made_study(tmp_path, groups, points=100)], tmp_path)
    assert page.stat().st_size < 8e6


def test_the_smallest_effect_is_checked(folder):
    with pytest.raises(InputError, match="unknown environment 'GridWorld-v1': did you mean 'GridWorld-v0'"):
        write_report(folder / "tables", {"GridWorld-v1": 1.0})
    for effect in (0.0, -1.0, NAN, {"GridWorld-v0": 0.0}):
        with pytest.raises(InputError, match="smallest_effect must be above 0"):
            write_report(folder / "tables", effect)


def test_each_environment_may_have_its_smallest_effect_by_name_or_label(tmp_path):
    results = pole(tmp_path, [1.0, 2.0, 3.0, 4.0], **{"env.pole_length": [0.5, 0.5, 1.0, 1.0]})
    effects = {"CartPole-v1": 5.0, "CartPole-v1 pole_length=0.5": 3.0}
    sections = summarise(results, rng(), effects).sections
    assert [section.smallest_effect for section in sections] == [3.0, 5.0]


def test_a_full_disk_leaves_the_earlier_page(tmp_path, monkeypatch):
    results = pole(tmp_path, [1.0, 2.0])
    page = write_studies([results], tmp_path)
    before = page.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write_studies([results], tmp_path)
    assert page.read_bytes() == before


def test_a_folder_without_a_study(tmp_path):
    with pytest.raises(InputError, match="holds no study"):
        write_report(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is not a folder"):
        write_report(tmp_path / "file")


@pytest.mark.parametrize("blocked", ["report.html", "figures"])
def test_a_folder_that_cannot_be_written(tmp_path, blocked):
    """Root may write anything, so that what stands in the way is of the wrong kind."""
    (tmp_path / "figures").touch() if blocked == "figures" else (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match=f"{blocked} cannot be written: "):
        write_studies([pole(tmp_path, [1.0, 2.0])], tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        write_studies([pole(tmp_path, [1.0, 2.0])], tmp_path)
    tmp_path.chmod(0o700)


def test_studies_are_found_in_the_folder_and_below_it(folder):
    for place in (folder, folder / "tables"):
        assert [study.name for study in find_studies(place)] == ["tables"]


def test_text():
    values = [0.74123, 9.5, 498.25, 38123.4, 4.0176e6, NAN, -np.inf]
    assert [number(x) for x in values] == ["0.7412", "9.5", "498.2", "38,123", "4.02 M", "none", "failed"]
    assert bounds(NAN, NAN) == "(no interval)"
    assert bounds(-np.inf, 2.0) == "[failed, 2]"
    assert [listed(["a", "b", "c"][:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert short_names(["ppo", "ppo clip=1"]) == {"ppo": "ppo", "ppo clip=1": "clip=1"}
    assert short_names(["ppo clip=1"]) == {"ppo clip=1": "ppo clip=1"}
    assert wrapped("aa bb cc" + "x" * 9, "|", width=5) == "aa bb|ccxx…"
    assert file_name("gymnax:Breakout-MinAtar rows=('S', 'G')") == "gymnax-Breakout-MinAtar-rows=-S-G"
    assert len(file_name("x" * 500)) == 80
    assert file_name("x" * 80) == "x" * 80
    assert file_name("x" * 100 + "1") != file_name("x" * 100 + "2")
    assert marked("`<b>` has 5 %") == "<b>&lt;b&gt;</b> has 5\N{NO-BREAK SPACE}%"
    assert '"seeds": "0, 1, ..., 99 (100 numbers)"' in abridged({"seeds": [*range(100)], "few": [1, 2]})
