"""Benchmarks: what they compute from the times, and that both sides of a comparison get the same work."""

import numpy as np
import pytest

from benchmarks import reporting, timing
from benchmarks.peers import compare, on_jaxrl, work
from jaxrl import registry


def report(seconds, iterations=10, steps=100, updates=1.0):
    counts = {"steps_per_iteration": steps, "updates_per_iteration": updates}
    return {"iterations": iterations, "seconds": seconds, **counts}


def test_a_call_grows_until_it_takes_long_enough(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def call(iterations):
        clock[0] += 3.0 if iterations == 0 else 0.001 * iterations

    result = timing.time_calls(call, calls=3, min_seconds=0.5)
    assert result.compile_seconds == 3.0
    assert len(result.seconds) == 3
    assert 0.5 <= min(result.seconds) < 1.0
    assert result.iterations_per_second == pytest.approx(1_000)


def test_a_row_compares_medians_of_all_calls():
    ours = [report([1.0, 2.0, 4.0]), report([1.0, 2.0, 8.0])]
    theirs = [report([4.0, 4.0, 4.0]), report([4.0, 4.0, 16.0])]
    row = compare.row("dqn CartPole-v1", 2, {"jaxrl": ours, "rejax": theirs})
    assert row["steps_per_second"] == {"jaxrl": 500.0, "rejax": 250.0}
    estimate, low, high = row["ratio"]
    assert estimate == 2.0
    assert low < estimate < high


def test_an_interval_counts_processes_not_calls():
    """Calls of one process that agree say nothing about the next process."""
    rng = np.random.default_rng
    between = [[1.0] * 50, [2.0] * 50, [3.0] * 50]
    within = [[1.0, 2.0, 3.0] * 17] * 3
    steady = [[1.0] * 50] * 3
    assert np.ptp(compare.ratio_interval(between, steady, rng(0))[1:]) == 2
    assert np.ptp(compare.ratio_interval(within, steady, rng(0))[1:]) < 1.5


@pytest.mark.parametrize("different", [{"steps": 50}, {"updates": 2.0}])
def test_different_work_is_not_compared(different):
    reports = {"jaxrl": [report([1.0])], "rejax": [report([1.0]), report([1.0], **different)]}
    with pytest.raises(RuntimeError, match="steps and updates of an iteration differ"):
        compare.row("dqn CartPole-v1", 2, reports)


def test_every_shape_of_a_report_is_measured():
    rows = [*reporting.measure(smoke=True, only="")]
    assert [row["runs"] for row in rows] == [50, 2, 4, 8]
    assert all(row["seconds"][0] > 0 for row in rows)
    assert {row["bytes"] > 1e6 for row in rows[1:]} == {True}
    assert [row["runs"] for row in reporting.measure(smoke=True, only="band")] == [50]


@pytest.mark.parametrize("name", work.WORK)
def test_our_side_trains_what_the_settings_say(name):
    algorithm, settings = name.split()[0], work.WORK[name]
    ours = registry.algorithms()[algorithm].replace(**on_jaxrl.fields(algorithm, settings))
    ours.validate()
    assert ours.steps_per_iteration == work.steps_per_iteration(settings)
    for field in settings.keys() - {"epsilon"}:
        assert getattr(ours, field) == settings[field], field


@pytest.mark.parametrize("peer", compare.MODULES)
def test_requirements_of_peers_are_pinned(peer):
    folder = compare.ROOT / "benchmarks" / "peers"
    assert (folder / f"{compare.MODULES[peer]}.py").exists()
    lines = (folder / f"{peer}.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith(("#", "-"))]
    assert packages
    assert all("==" in line.split(";")[0] for line in packages)


def test_rejax_runs_on_the_jax_that_jaxrl_is_tested_with():
    def pins(path):
        return {line for line in path.read_text().splitlines() if line.startswith(("jax==", "jaxlib=="))}

    rejax = pins(compare.ROOT / "benchmarks" / "peers" / "rejax.txt")
    assert rejax == pins(compare.ROOT / "constraints.txt")
    assert len(rejax) == 4
