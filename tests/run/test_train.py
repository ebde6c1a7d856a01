"""Training a study: where it is evaluated, what callbacks are told and may ask for, what makes a run fail."""

import numpy as np
import pytest

from envs import CartPole, GridWorld, Pendulum
from jaxrl import InputError, load, resume, train
from jaxrl.algorithms import QLearning
from jaxrl.compiled.engine import advance, initialise
from jaxrl.compiled.evaluate import evaluate
from jaxrl.run.reproduce import verify
from jaxrl.store.folder import Folder
from tests.learners import Diverging, Idle, Paying, Rising, registered

SETTINGS = {"seeds": 3, "steps": 60, "evaluate_every": 20, "evaluation_episodes": 2, "width": 2}
PAYING = Paying(rewards={"of": [0.0, 1.0]})
WORLDS = {"the same": GridWorld(), "in a hurry": GridWorld(max_steps=3)}


@pytest.fixture(autouse=True, scope="module")
def known():
    with registered():
        yield


def trained(out, **changes):
    return train(QLearning(), GridWorld(), out=out, **(SETTINGS | changes))


def told(reports):
    """What callbacks were told, as a table of numbers: (run, step, metric) -> value."""
    return {
        (run.id, report.step, name): value
        for report in reports
        for name, values in report.metrics.items()
        for run, value in zip(report.runs, values, strict=True)
    }


def recorded(results):
    """The same of what the folder holds."""
    return results.curves.set_index(["run", "step", "metric"]).value.to_dict()


def same_numbers(one, two):
    return one.keys() == two.keys() and np.array_equal([*one.values()], [two[key] for key in one], True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The study, evaluated in two more environments, and the reports of its chunks."""
    reports = []
    out = tmp_path_factory.mktemp("study") / "whole"
    return trained(out, evaluate_in=WORLDS, callbacks=[reports.append]), reports


def test_policies_are_evaluated_in_further_environments(whole):
    """With the same keys in each."""
    results, _ = whole
    assert results.metric("eval_return/the same").equals(results.metric("eval_return"))
    assert results.metric("eval_length/the same").equals(results.metric("eval_length"))
    assert (results.metric("eval_length/in a hurry") == 3).all(axis=None)
    assert not results.metric("eval_return/in a hurry").equals(results.metric("eval_return"))
    assert dict(results.study.evaluate_in) == WORLDS


def test_they_leave_training_and_the_other_evaluations_alone(whole, tmp_path):
    alone = trained(tmp_path / "alone")
    kept = {key: value for key, value in recorded(whole[0]).items() if "/" not in key[2]}
    assert same_numbers(recorded(alone), kept)


def test_resuming_keeps_them(whole, tmp_path):
    def once(report):
        return report.step == 20

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", evaluate_in=WORLDS, callbacks=[once])
    resumed = resume(tmp_path / "stopped")
    assert resumed.curves.equals(whole[0].curves)
    longer = resume(tmp_path / "stopped", steps=80, more_seeds=1)
    assert longer.metric("eval_return/in a hurry").loc[3].notna().all()
    assert longer.metric("eval_return/the same").equals(longer.metric("eval_return"))
    assert all(outcome.acceptable for outcome in verify(longer, 9))


def test_further_environments_have_arrays_of_their_own(tmp_path):
    """Each pays what its own table says of the action."""
    pays = {
        name: Paying(rewards={"of": np.float32([0, value])})
        for name, value in {"little": 2, "more": 5}.items()
    }
    results = train(Idle(action=1), pays["little"], evaluate_in=pays, out=tmp_path / "pays", **SETTINGS)
    for metric, value in {"eval_return": 2, "eval_return/little": 2, "eval_return/more": 5}.items():
        assert (results.metric(metric) == value).all(axis=None)
    assert len([*(tmp_path / "pays" / "shared").iterdir()]) == 2


def test_training_follows_a_schedule_and_evaluation_uses_its_end(tmp_path):
    """Of t / total * 10: two steps of an episode give the sum of two levels. Another budget is another schedule."""
    settings = {"seeds": 2, "steps": 20, "evaluate_every": 10, "evaluation_episodes": 1}
    worlds = {"too": Rising()}
    results = train(QLearning(), Rising(), evaluate_in=worlds, out=tmp_path / "rising", **settings)
    assert results.metric("return").loc[0].to_dict() == {10: 4.5, 20: 14.5}
    longer = resume(results.path, steps=40)
    assert longer.metric("return").loc[0].to_dict() == {10: 4.5, 20: 14.5, 30: 12.25, 40: 17.25}
    assert (longer.metric("eval_return") == 20).all(axis=None)
    assert (longer.metric("eval_return/too") == 20).all(axis=None)
    assert all(outcome.first is None for outcome in [*verify(longer, 2)][1:])


def test_callbacks_are_told_everything_chunk_by_chunk(whole):
    results, reports = whole
    heard = [([run.id for run in report.runs], report.step, report.advanced) for report in reports]
    steps = [(0, 0), (20, 20), (40, 20), (60, 20)]
    assert heard == [(runs, *each) for runs in ([0, 1], [2]) for each in steps]
    assert {run.seed for report in reports for run in report.runs} == {0, 1, 2}
    assert {values.dtype for report in reports for values in report.metrics.values()} == {np.dtype(float)}
    assert same_numbers(told(reports), recorded(results))
    first = [name for name in reports[0].metrics if not name.startswith("eval_")]
    assert first == []  # nothing was trained yet


def test_a_callback_may_stop_in_good_order(whole, tmp_path):
    """The chunk is saved, every callback hears of it, and a resumed study tells what is left."""
    out, heard, rest = tmp_path / "stopped", [], []
    with pytest.raises(KeyboardInterrupt, match=f"^stopped; continue with: jaxrl resume {out}$"):
        trained(out, evaluate_in=WORLDS, callbacks=[lambda report: report.step == 40, heard.append])
    assert [report.step for report in heard] == [0, 20, 40]
    folder = Folder(out)
    first, second = whole[0].batches
    assert folder.progress(first).iteration == 40
    assert folder.progress(second) is None
    resumed = resume(out, callbacks=[rest.append])
    assert [(report.runs[0].id, report.step) for report in rest] == [
        (0, 60),
        (2, 0),
        (2, 20),
        (2, 40),
        (2, 60),
    ]
    assert resumed.curves.equals(whole[0].curves)
    assert resumed.runs.equals(whole[0].runs)


def test_stopping_after_the_last_chunk_loses_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "end", callbacks=[lambda report: report.runs[0].id == 2 and report.step == 60])
    reports = []
    assert resume(tmp_path / "end", callbacks=[reports.append]).runs.status.to_list() == ["complete"] * 3
    assert reports == []


def test_an_error_in_a_callback_ends_the_training(whole, tmp_path):
    def fail(report):
        if report.step == 40:
            raise RuntimeError("no connection")

    with pytest.raises(RuntimeError, match="no connection"):
        trained(tmp_path / "failed", evaluate_in=WORLDS, callbacks=[fail])
    assert resume(tmp_path / "failed").curves.equals(whole[0].curves)


@pytest.mark.parametrize(
    ("action", "env", "said"),
    [
        (4, GridWorld(), "Idle.act gave an action that GridWorld does not have"),
        (2.5, Pendulum(), "Idle.act gave an action that Pendulum does not have"),
        (2, PAYING, "Idle.act gave an action that Paying does not have"),
    ],
)
def test_an_action_that_does_not_exist_ends_in_one_sentence(action, env, said, tmp_path):
    """At the first evaluation, before anything is trained."""
    reports = []
    with pytest.raises(InputError, match=f"^{said}$"):
        train(Idle(action=action), env, out=tmp_path / "outside", callbacks=[reports.append], **SETTINGS)
    assert reports == []


def test_evaluations_of_one_policy_draw_fresh_episodes(tmp_path):
    """It learns nothing, so that only the keys of evaluation differ between checkpoints."""
    settings = {"seeds": 2, "steps": 60, "evaluate_every": 10}
    frozen = train(Idle(), CartPole(reset_range=0.2), out=tmp_path / "frozen", **settings)
    assert (frozen.metric("eval_length").nunique(axis=1) > 3).all()


def test_a_run_depends_on_seed_alone_within_a_study(tmp_path):
    """Its place in the study, its batch and its neighbours' hyper-parameters leave its curve as it is."""
    one = trained(tmp_path / "one", seeds=[5, 6, 7, 8])
    algorithms = [QLearning(learning_rate=0.3), QLearning()]
    two = train(algorithms, GridWorld(), out=tmp_path / "two", **(SETTINGS | {"seeds": [9, 5, 4]}))
    other = two.runs[(two.runs.seed == 5) & (two.runs.learning_rate == 0.1)].run.item()
    curves = [
        results.curves[results.curves.run == run].drop(columns="run").reset_index(drop=True)
        for results, run in ((one, 0), (two, other))
    ]
    assert curves[0].equals(curves[1])


def test_traced_values_and_budgets_compile_once(tmp_path):
    def run(name, algorithm, env, **settings):
        train(algorithm, env, out=tmp_path / name, **(SETTINGS | settings))
        return advance._cache_size(), evaluate._cache_size(), initialise._cache_size()

    first = run("one", QLearning(), GridWorld())
    changed = QLearning(learning_rate=0.3, epsilon_end=0.2)
    assert run("two", changed, GridWorld(max_steps=9), steps=100, evaluate_every=7) == first
    assert run("three", QLearning(epsilon_schedule="exponential"), GridWorld())[0] == first[0] + 1


def test_failed_runs_say_where_and_harm_no_neighbour(tmp_path):
    algorithms = [Diverging(), Diverging(lasts=25)]
    settings = SETTINGS | {"seeds": 2, "width": 4}
    mixed = train(algorithms, GridWorld(), out=tmp_path / "mixed", **settings)
    assert mixed.runs.status.to_list() == ["complete", "complete", "failed", "failed"]
    assert mixed.runs.failed_iteration.isna().to_list() == [True, True, False, False]
    assert mixed.runs.failed_iteration[2:].to_list() == [40, 40]
    assert mixed.runs.failed_metric.to_list()[2:] == ["state", "state"]
    assert mixed.final().isna().to_list() == [False, False, True, True]
    alone = train(algorithms[0], GridWorld(), out=tmp_path / "alone", **settings)
    assert mixed.curves[mixed.curves.run < 2].reset_index(drop=True).equals(alone.curves)


class Overflowing(GridWorld):
    """Rewards that are finite, and returns that are not."""

    def successor(self, state, action, outcome):
        state, _, terminated = super().successor(state, action, outcome)
        return state, -3e38, terminated


def test_infinite_returns_are_failures_too(tmp_path):
    frozen = QLearning(learning_rate=0.0)
    results = train(frozen, Overflowing(), seeds=2, steps=640, evaluate_every=320, out=tmp_path / "overflow")
    assert set(results.runs.status) == {"failed"}
    assert set(results.runs.failed_metric) <= {"return", "eval_return"}
    assert np.isnan(results.final()).all()


def test_so_are_those_of_a_further_environment(tmp_path):
    worlds = {"steep": Overflowing()}
    results = train(Idle(), GridWorld(), evaluate_in=worlds, out=tmp_path / "steep", **SETTINGS)
    assert set(results.runs.failed_metric) == {"eval_return/steep"}
    assert set(results.runs.failed_iteration) == {0}
    assert load(results.path).final().isna().all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"checkpoint_every": -1}, "checkpoint_every must be a number of seconds of at least 0, got -1"),
        ({"callbacks": print}, "callbacks must be a list of functions, got <built-in function print>"),
        ({"callbacks": [1]}, r"callbacks must be a list of functions, got \[1\]"),
    ],
)
def test_options_are_checked_before_the_folder_is_made(options, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        train(QLearning(), GridWorld(), seeds=1, steps=10, out=tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()
