"""Benchmarks: what they compute from the times, and that both sides of a comparison get the same work."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from benchmarks import (
    arithmetic,
    command,
    compilation,
    environments,
    kills,
    lanes,
    reporting,
    seeds,
    solve,
    studies,
    tabular,
    timing,
    training,
)
from benchmarks.__main__ import main
from benchmarks.peers import compare, on_jaxrl, work
from benchmarks.processes import ROOT
from envs import ENVIRONMENTS, CartPole, GridWorld
from jaxrl import registry, train
from jaxrl.algorithms import DQN, QLearning
from jaxrl.compiled.cores import count_cores
from jaxrl.study.placement import MeshBatches
from jaxrl.study.plan import make_batches
from jaxrl.study.study import make_study


def report(seconds, iterations=10, steps=100, updates=1.0):
    counts = {"steps_per_iteration": steps, "updates_per_iteration": updates}
    operations = {"flops_per_iteration": 40, "product_flops_per_second": 400}
    return {"iterations": iterations, "seconds": seconds, **counts, **operations}


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
    assert row["share_of_product"] == 10 / 2.0 * 40 / 400


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
    assert [row["runs"] for row in rows] == [50, *[8] * 5, 2, 4, 8]
    assert all(row["seconds"][0] > 0 for row in rows)
    assert {row["bytes"] > 1e6 for row in rows[6:]} == {True}
    assert [row["runs"] for row in reporting.measure(smoke=True, only="band")] == [50]


def test_the_parts_of_a_study_are_all_of_its_time():
    row = studies.study("q_learning FrozenLake-v1", 3, 200)
    assert sum(row["parts"].values()) == pytest.approx(row["seconds"])
    assert min(row["parts"].values()) > 0
    assert sum(studies.shares(row).values()) == pytest.approx(1)
    assert (row["evaluations"], row["plan"]["batches"]) == (2, 1)
    assert row["files"] == 6  # manifest, two tables, a state, its note and the lock


@pytest.mark.parametrize("name", work.WORK)
def test_our_side_trains_what_the_settings_say(name):
    algorithm, settings = name.split()[0], work.WORK[name]
    ours = registry.algorithms()[algorithm].replace(**on_jaxrl.fields(algorithm, settings))
    ours.validate()
    assert ours.steps_per_iteration == work.steps_per_iteration(settings)
    parameters = ours.parameters()
    for field in settings.keys() - {"epsilon"}:
        assert parameters["network.hidden" if field == "hidden" else field] == settings[field], field


@pytest.mark.parametrize("peer", compare.MODULES)
def test_requirements_of_peers_are_pinned(peer):
    folder = ROOT / "benchmarks" / "peers"
    assert (folder / f"{compare.MODULES[peer]}.py").exists()
    lines = (folder / f"{peer}.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith(("#", "-"))]
    assert packages
    assert all("==" in line.split(";")[0] for line in packages)


def test_rejax_runs_on_the_jax_that_jaxrl_is_tested_with():
    def pins(path):
        return {line for line in path.read_text().splitlines() if line.startswith(("jax==", "jaxlib=="))}

    rejax = pins(ROOT / "benchmarks" / "peers" / "rejax.txt")
    assert rejax == pins(ROOT / "constraints.txt")
    assert len(rejax) == 4


def test_contenders_meet_the_same_minutes(monkeypatch):
    clock, order = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def contender(name, speed):
        def call(iterations):
            order.append(name)
            clock[0] += iterations / speed

        return call

    calls = {"slow": contender("slow", 100), "fast": contender("fast", 400)}
    timings = timing.time_in_turn(calls, rounds=3, min_seconds=1.0)
    assert order[-6:] == ["slow", "fast"] * 3
    assert timings["slow"].iterations_per_second == pytest.approx(100)
    assert timings["fast"].iterations_per_second == pytest.approx(400)


def test_every_seed_is_timed_group_by_group(monkeypatch):
    """Three groups of two, two and one batches: the same steps in each, and memory is read before the product."""
    clock, order = [0.0], []

    class Slow:
        """Lanes whose iteration takes a second for each batch, and whose compilation takes a hundred."""

        def __init__(self, groups):
            (group,) = groups
            self.batches, self.t = len(group.batches), 0
            clock[0] += 100

        def advance(self, iterations):
            clock[0] += iterations * self.batches
            self.t += iterations

        def evaluate(self):
            clock[0] += 7

        def updates(self):
            return 3 * self.t

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(training, "Lanes", Slow)
    groups = [SimpleNamespace(batches=[SimpleNamespace(width=4)] * count) for count in (2, 2, 1)]
    monkeypatch.setattr(training, "planned", lambda *_: groups)
    for name, value in {"peak_bytes": 5, "resident_bytes": 4, "product_rate": 1e9}.items():
        monkeypatch.setattr(training, name, lambda name=name, value=value: order.append(name) or value)
    row = training.train("ppo CartPole-v1", seeds=18, calls=4, min_seconds=10)
    iterations = row["iterations"]
    assert row["seconds"] == [[2 * iterations] * 2, [2 * iterations] * 2, [iterations] * 2]
    assert row["steps_per_second"] == 18 * 512 * iterations / (5 * iterations)
    assert row["share_of_product"] == row["steps_per_second"] * row["flops_per_step"] / 1e9
    assert (row["compile_seconds"], row["evaluate_seconds"]) == (107, 21)
    assert (row["batches"], row["width"], row["updates_per_iteration"]) == (5, 4, 3)
    assert order[-1] == "product_rate"


def test_a_solution_is_timed_until_enough_seeds_are_there(monkeypatch):
    class Learning:
        """A fifth of twenty seeds more is solved at each evaluation; the last one never."""

        total, t = 1_000, 0

        def advance(self, iterations):
            self.t += iterations

        def evaluate(self):
            solved = min(self.t // solve.EVERY * 4, 19)
            return (np.repeat(np.where(np.arange(20) < solved, 500.0, 100.0)[:, None], 2, axis=1),)

    monkeypatch.setattr(solve, "planned", lambda *_: ())
    monkeypatch.setattr(solve, "Lanes", lambda *_: Learning())
    curve = solve.solve("0:20", 10**6)["curve"]
    assert [point["share"] for point in curve] == [0.2, 0.4, 0.6, 0.8, 0.95]
    assert curve[-1]["steps"] == 5 * solve.EVERY * solve.SETTINGS.steps_per_iteration


def test_one_process_that_does_not_solve_it_is_not_left_out(monkeypatch):
    shares = iter([0.95, 1.0, 0.9])  # of the processes of one seed; the others solve it

    def solved(_function, members, _budget):
        first, end = map(int, members.split(":"))
        share = next(shares) if end - first == 1 else 1.0
        return {"seeds": members, "curve": [{"steps": 1_000, "seconds": 2.0, "share": share}]}

    monkeypatch.setattr(seeds, "in_fresh_process", solved)
    one, *others = seeds.solutions(smoke=False)
    assert (one["seeds"], one["seconds"], one["steps"], one["share"]) == (1, None, None, 0.95)
    assert {row["seconds"] for row in others} == {2.0}


def test_operations_of_a_small_network_counted_by_hand():
    algorithm = DQN(num_envs=3, updates=2, batch_size=5, warmup=0).replace(**{"network.hidden": (8,)})
    layers = 2 * (4 * 8 + 8 * 2)  # one observation of CartPole's through the network
    to_weights, to_hidden = layers, 2 * 2 * 8  # of a backward pass; nothing flows back into observations
    update = 5 * (layers + layers + to_weights + to_hidden)  # the network, its target, and back
    assert arithmetic.iteration_flops(algorithm, CartPole()) == 3 * layers + 2 * update


def test_operations_of_scans_branches_and_convolutions():
    def scanned(x):
        return jax.lax.scan(lambda carry, _: (carry @ carry, None), x, length=7)[0]

    def branched(x):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ x @ x, lambda: x)

    def convolved(image, kernel):
        return jax.lax.conv(image, kernel, (1, 1), "VALID")

    square, product = jnp.ones((3, 3)), 2 * 3**3
    assert arithmetic.flops(jax.make_jaxpr(scanned)(square).jaxpr) == 7 * product
    assert arithmetic.flops(jax.make_jaxpr(branched)(square).jaxpr) == 2 * product
    image, kernel = jnp.ones((1, 2, 5, 5)), jnp.ones((4, 2, 3, 3))
    assert arithmetic.flops(jax.make_jaxpr(convolved)(image, kernel).jaxpr) == 2 * (4 * 3 * 3) * (2 * 3 * 3)


def test_tabular_learning_has_no_products():
    assert arithmetic.iteration_flops(QLearning(), GridWorld()) == 0


def test_a_machine_multiplies():
    assert arithmetic.product_rate(size=32) > 0


@pytest.mark.parametrize("name", ["ppo CartPole-v1", "dqn CartPole-v1", "sac Pendulum-v1"])
def test_what_is_timed_updates(name):
    """No warm-up is left in which an iteration would be cheap."""
    algorithm, env = training.WORK[name]
    small = {"batch_size": 4, "capacity": 40} if hasattr(algorithm, "capacity") else {}
    trained = lanes.Lanes(lanes.planned(algorithm.replace(**small), env, seeds=2))
    trained.advance(2)
    expected = getattr(
        algorithm, "updates", getattr(algorithm, "epochs", 0) * getattr(algorithm, "minibatches", 0)
    )
    assert trained.updates() == 2 * expected
    assert trained.steps_per_iteration == 2 * algorithm.steps_per_iteration


def test_lanes_train_what_the_command_line_trains(tmp_path):
    """Several batches, the last one padded: the same evaluation of every seed."""
    algorithm, env = QLearning(), GridWorld()
    results = train(algorithm, env, seeds=5, steps=40, evaluate_every=40, width=2, out=tmp_path / "runs")
    batches = make_batches(make_study(algorithm, env, seeds=5, steps=40), 2)
    trained = lanes.Lanes([MeshBatches.alone(batch) for batch in batches], steps=40)
    trained.advance(40)
    returns, lengths = trained.evaluate()
    assert returns.shape == lengths.shape == (5, lanes.EPISODES)
    np.testing.assert_array_equal(np.sort(returns.mean(axis=1)), np.sort(results.final().to_numpy()))


def test_the_loop_in_numpy_learns_the_shortest_path():
    world = GridWorld()
    q = tabular.q_learning(20_000, seed=1, total=20_000)
    state, steps = 0, 0
    while state != world.num_states - 1 and steps < world.max_steps:
        state, steps = int(world.successor(state, int(np.argmax(q[state])), 0)[0]), steps + 1
    assert steps == 2 * (world.size - 1)


def test_ratios_are_ours_by_theirs():
    rates = {"threefry2x32": 6.0, "pcg4x32": 12.0, "gymnax": 3.0}
    assert environments.ratios(rates) == {"gymnax": {"threefry2x32": 2.0, "pcg4x32": 4.0}}


def test_gymnasium_has_all_our_environments_but_these():
    strange = {name for name in ENVIRONMENTS if environments.gymnasium_id(name) not in gymnasium.registry}
    assert strange == {
        "BernoulliBandit-v0",
        "Catch-v0",
        "DeepSea-v0",
        "Garnet-v0",
        "GaussianBandit-v0",
        "GridWorld-v0",
        "KeyDoor-v0",
        "MemoryChain-v0",
        "NoisyTV-v0",
        "TMaze-v0",
        "Vacuum-v0",
    }


def test_workers_say_on_how_many_devices_they_ran(tmp_path):
    """Which this process, of one device, does not know."""
    command.write(tmp_path, "training", ROWS["training"])
    written = json.loads((tmp_path / "training.json").read_text())
    assert written["machine"]["devices"] == str(count_cores())
    assert len(written["versions"]["envs"]) == len(written["machine"]["code"])


def test_a_device_names_its_results(monkeypatch):
    def on(platform, kind):
        device = SimpleNamespace(platform=platform, device_kind=kind)
        monkeypatch.setattr(command.jax, "devices", lambda: [device])
        return command.device_name()

    assert on("cpu", "cpu") == f"cpu-{os.cpu_count()}-cores"
    assert on("gpu", "NVIDIA H100 80GB HBM3") == "nvidia-h100"
    assert on("gpu", "NVIDIA GeForce RTX 4090") == "nvidia-geforce-rtx-4090"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trainig"], "unknown benchmark 'trainig': did you mean 'training'? known are compile, "),
        (["numpy", "--only", "chess"], "nothing in the benchmark numpy has 'chess' in its name"),
        (["numpy", "--smok"], "unknown option '--smok': did you mean '--smoke'? known are --help, "),
        ([], "the following arguments are required: NAME; see python -m benchmarks --help"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"python -m benchmarks: {sentence}")
    assert error.count("\n") == 1


def test_the_help_names_every_benchmark():
    arguments = [sys.executable, "-m", "benchmarks", "--help"]
    printed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [name for name in command.BENCHMARKS if f"- {name}: " not in printed] == []


def small_study(out, **changes):
    settings = {"seeds": 3, "steps": 40, "evaluate_every": 20, "out": out}
    return train(QLearning(), GridWorld(), **(settings | changes)).path


def test_studies_are_the_same_if_their_saved_states_are(tmp_path):
    """The states themselves, though all that is noted of them agrees."""
    one, two = small_study(tmp_path / "one"), small_study(tmp_path / "two")
    assert kills.same(one, two)
    assert not kills.same(one, small_study(tmp_path / "other", seeds="1:4"))
    (file,) = two.glob("checkpoints/batch-00000-*")
    file.write_bytes(file.read_bytes()[:-40])
    assert not kills.same(one, two)


def test_a_kill_that_loses_bits_fails_the_smoke_run(monkeypatch):
    moments = []

    def killed(*arguments):
        moments.append(arguments[3])
        return False, True

    for name in ("enable_compilation_cache", "start", "finish"):
        monkeypatch.setattr(kills, name, lambda *_: None)
    monkeypatch.setattr(kills, "seconds_of", lambda *_: 8.0)
    monkeypatch.setattr(kills, "killed_and_resumed", killed)
    with pytest.raises(RuntimeError, match=r"q_learning GridWorld-v0: a study that was killed .* other bits"):
        [*kills.measure(smoke=True, only="q_learning")]
    (row,) = kills.measure(smoke=False, only="q_learning")
    assert (row["kills"], row["equal"], row["in_the_middle"]) == (kills.KILLS, 0, kills.KILLS)
    assert 0 < min(moments) < 1 < 7 < max(moments) < 8


def test_a_study_that_fails_by_itself_was_not_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        kills, "start", lambda *_: subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    )
    with pytest.raises(RuntimeError, match="ended before its study was running"):
        kills.killed_and_resumed("", [], tmp_path, 60.0, tmp_path)
    (tmp_path / "manifest.json").write_text('{"status": "running"}')
    with pytest.raises(RuntimeError, match="ended with exit code 3"):
        kills.killed_and_resumed("", [], tmp_path, 60.0, tmp_path)


GRID, POLE = "q_learning GridWorld-v0", "ppo CartPole-v1"
COSTS = {"resident_bytes": 6e8, "microseconds": 2.0, "processes": [{}]}
COMPILED = [dict.fromkeys(compilation.PARTS, 1.5)]
CURVE = [{"steps": 1_000, "seconds": 1.0, "share": 0.5}, {"steps": 2_000, "seconds": 2.0, "share": 1.0}]
TRAINED = {
    "steps_per_second": 1e5,
    "seconds": [[1.0, 1.1]],
    "evaluate_seconds": 0.1,
    "compile_seconds": 2.0,
    "flops_per_step": 1e4,
    "product_flops_per_second": 1e11,
    "peak_bytes": 5e8,
}
ROWS = {
    "compile": [{"work": POLE, "seeds": 64, "devices": 2, "cold": COMPILED, "cached": COMPILED}],
    "environments": [
        {
            "environment": "CartPole-v1",
            "copies": copies,
            "steps_per_second": {"threefry2x32": 2e5, "pcg4x32": 3e6, **others},
            "ratios": {"gymnax": {"threefry2x32": 2.0, "pcg4x32": 30.0}},
            "timings": {"threefry2x32": {"seconds": [1.0]}},
        }
        for copies, others in ((1, {"gymnax": 1e5, "gymnasium": 1e4}), (64, {"gymnax": 1e5}))
    ],
    "kills": [{"work": GRID, "seeds": 64, "kills": 50, "equal": 50, "in_the_middle": 40}],
    "numpy": [
        {
            "work": GRID,
            "steps_per_second": {"numpy": 1e5, "1": 4e5, "1024": 8e6},
            "ratios": {"1": 4.0, "1024": 80.0},
            "timings": {"numpy": {"seconds": [1.0]}},
        }
    ],
    "peers": [
        {
            "work": POLE,
            "seeds": 64,
            "steps_per_second": {"jaxrl": 2e5, "rejax": 1e5},
            "ratio": (2.0, 1.9, 2.2),
            "share_of_product": 0.5,
            "processes": {"jaxrl": [{"seconds": [1.0]}], "rejax": [{"seconds": [2.0]}]},
        }
    ],
    "randomness": [
        {"generator": "pcg4x32", "comparison": "seeds", "values": 10, "largest_z": 1.0, "p": 0.5},
        {
            "generator": "pcg4x32",
            "stream": "single",
            "seconds": 1.0,
            "results": [{"options": "-d 0", "test": "birthdays", "p": p} for p in (0.001, 0.7)],
        },
    ],
    "reporting": [
        {"work": "curve band", "runs": 50, "seconds": [0.1, 0.2]},
        {"work": "report", "runs": 1_000, "seconds": [2.0, 3.0], "bytes": 5_000_000},
    ],
    "seeds": [
        {"work": POLE, "seeds": 8, **COSTS},
        {
            "work": seeds.SOLVE,
            "seeds": 1,
            "seconds": 2.0,
            "steps": 2_000,
            "share": 1.0,
            "processes": [{"curve": CURVE}],
        },
        {
            "work": seeds.SOLVE,
            "seeds": 64,
            "seconds": None,
            "steps": None,
            "share": 0.5,
            "processes": [{"curve": CURVE[:1]}],
        },
    ],
    "study": [
        {
            "work": POLE,
            "seeds": 64,
            "steps": 500_000,
            "seconds": 10.0,
            "parts": dict.fromkeys(studies.PARTS, 2.0),
            "evaluations": 51,
            "files": 20,
        }
    ],
    "training": [
        {"work": POLE, "seeds": 8, "share_of_product": 0.01, **TRAINED},
        {"work": GRID, "seeds": 8, "share_of_product": 0.0, **TRAINED, "flops_per_step": 0},
    ],
}


@pytest.mark.parametrize("name", command.BENCHMARKS)
def test_a_benchmark_prints_a_table_and_writes_figure_and_times(name, tmp_path, monkeypatch, capsys):
    measured = command.BENCHMARKS[name]._replace(measure=lambda *_: ROWS[name])
    monkeypatch.setitem(command.BENCHMARKS, name, measured)
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "in_fresh_process", lambda function: function())  # a process takes seconds
    command.run(name, only="", smoke=True, out=None)
    assert not [*tmp_path.iterdir()]
    command.run(name, only="", smoke=False, out=None)
    folder = tmp_path / command.device_name()
    assert capsys.readouterr().out.count("written:") == 1
    with Image.open(folder / f"{name}.png") as picture:
        assert picture.width > 600
    written = json.loads((folder / f"{name}.json").read_text())
    assert written["rows"] == json.loads(json.dumps(ROWS[name]))
    assert {"device", "jax", "cores"} <= written["machine"].keys()
