"""Several devices share the batches of a study: the bits are those of one device."""

import os
import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from envs import FrozenLake, GridWorld
from jaxrl import grid, load, registry, resume, train
from jaxrl.algorithms import QLearning
from jaxrl.compiled import mesh
from jaxrl.compiled.engine import engine_for
from jaxrl.compiled.mesh import ON_GPUS, compiler_options
from jaxrl.study import placement
from jaxrl.study.placement import MeshBatches, batches_per_mesh, place_batches
from jaxrl.study.plan import make_batches, make_plan
from jaxrl.study.study import make_study
from tests.lanes import bits, equal, small
from tests.learners import Cloning

pytestmark = pytest.mark.timeout(600)  # one process compiles all learners
EXCHANGE = (
    r"\b(all-(?:gather|reduce|to-all)|reduce-scatter|collective-\w+|send|recv|partition-id)(?:-start)?\("
)
LEARNERS = ("dqn", "ppo", "sac", "discrete_sac", "cloning")
SETTINGS = {"steps": 320, "evaluate_every": 160, "evaluation_episodes": 2, "width": 2}


def learner(name):
    """An algorithm and an environment; of a learner from a data set, its shared arrays too."""
    if name == "cloning":
        return Cloning(data={"obs": np.arange(16), "action": np.arange(16) % 4}), FrozenLake()
    return small(name)


def in_a_process_with_devices(devices, code, **variables):
    """What a fresh interpreter says that sees its processor as several devices."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)} | variables
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=560)
    assert result.returncode == 0, result.stderr
    return result.stderr


def programs_in(folder, devices):
    """The text of each program for several devices that was dumped there, in the order of compilation."""
    compiled = [file.read_text() for file in sorted(folder.glob("*after_optimizations.txt"))]
    return [text for text in compiled if f"num_partitions={devices}" in text]


def name_of(program):
    return re.match(r"HloModule jit_(\w+)", program)[1]


def dumping_to(folder):
    """Flags with which XLA writes the programs of the engine as text."""
    names = "jit_(initialise|advance|evaluate|keys_at)"
    return f"--xla_dump_to={folder} --xla_dump_hlo_as_text --xla_dump_hlo_module_re={names}"


def assert_same_bits(several, one):
    assert several.curves.equals(one.curves)
    for run in several.runs.index:
        batch, lane = one.find(run)
        here, there = (bits(results.state(batch), lane) for results in (several, one))
        assert [leaf.tobytes() for leaf in here] == [leaf.tobytes() for leaf in there]  # a NaN is itself


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """The folder of what two devices made of three batches of each learner, and of the programs they ran."""
    out = tmp_path_factory.mktemp("several")
    said = in_a_process_with_devices(
        2,
        f"""
import jax, sys
from jaxrl import train
from jaxrl.compiled.mesh import lane_mesh, side_by_side
from tests.compiled.test_devices import LEARNERS, SETTINGS, learner
for name in LEARNERS:
    train(*learner(name), out={str(out)!r} + "/" + name, seeds=6, **SETTINGS)
numbers = side_by_side([jax.numpy.ones(2)] * 2, lane_mesh(jax.local_devices()))
print(jax.jit(jax.numpy.sum).lower(numbers).compile().as_text(), file=sys.stderr)
""",
        XLA_FLAGS=dumping_to(out),
    )
    assert said.count("3 batches of width 2, 2 at a time") == len(LEARNERS)
    (out / "sum.txt").write_text(said)
    return out


@pytest.mark.parametrize("name", LEARNERS)
def test_several_devices_give_the_bits_of_one(name, several, tmp_path, monkeypatch):
    """Batches of two, side by side and one after the other, the last beside lanes that only fill."""
    monkeypatch.setitem(registry.algorithms(), "cloning", Cloning())
    one = train(*learner(name), out=tmp_path / "one", seeds=6, **SETTINGS)
    assert one.manifest["plan"]["devices"] == 1
    assert_same_bits(load(several / name), one)
    advances = [text for text in programs_in(several, 2) if name_of(text) == "advance"]
    donated = advances[LEARNERS.index(name)].count("may-alias")
    assert donated >= len(jax.tree.leaves(one.state(one.batches[0])))


def test_each_program_is_compiled_once_for_all_devices_and_exchanges_nothing(several):
    programs = programs_in(several, 2)
    each = dict.fromkeys(("initialise", "advance", "evaluate"), len(LEARNERS))
    assert Counter(map(name_of, programs)) == each | {"keys_at": 1}
    assert not any(re.search(EXCHANGE, text) for text in programs)


def test_an_exchange_would_be_noticed(several):
    program = (several / "sum.txt").read_text()
    assert "num_partitions=2" in program
    assert "all-reduce" in re.findall(EXCHANGE, program)


def test_eight_devices_give_the_bits_of_one(tmp_path):
    said = in_a_process_with_devices(
        8,
        "from jaxrl import train; from tests.lanes import small;"
        f"train(*small('q_learning'), out={str(tmp_path / 'eight')!r}, seeds=18, **{SETTINGS})",
        XLA_FLAGS=dumping_to(tmp_path),
    )
    assert "9 batches of width 2, 8 at a time" in said
    programs = programs_in(tmp_path, 8)
    assert sorted(map(name_of, programs)) == ["advance", "evaluate", "initialise", "keys_at"]
    assert not any(re.search(EXCHANGE, text) for text in programs)
    one = train(*small("q_learning"), out=tmp_path / "one", seeds=18, **SETTINGS)
    assert_same_bits(load(tmp_path / "eight"), one)


def test_batches_that_are_not_equally_far_give_the_bits_of_one(tmp_path):
    """Training ends after one batch of the second group was saved and the other was not, then a finished one
    is trained again alone; another budget finds them together."""
    out = str(tmp_path / "several")
    in_a_process_with_devices(
        2,
        f"""
from pathlib import Path
import pytest
from jaxrl import InputError, resume, train
from jaxrl.store.folder import Folder
from jaxrl.study.plan import make_batches
from tests.lanes import small
save, left = Folder.save, iter(range(2 * 3 + 3))
def saving(*arguments):
    if next(left, None) is None:
        raise InputError("no more room")
    save(*arguments)
with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match="no more room"):
    patch.setattr(Folder, "save", saving)
    results = train(*small("q_learning"), out={out!r}, seeds=8, checkpoint_every=0.0, **{SETTINGS})
folder = Folder(Path({out!r}))
def reached():
    return [folder.progress(batch).iteration for batch in make_batches(folder.study(), 2)]
assert reached() == [320, 320, 160, 0]
resume({out!r})
assert reached() == [320] * 4
resume({out!r}, rerun=1)
resume({out!r}, steps=640)
""",
    )
    several = load(out)
    assert [note["batches"] for note in several.manifest["resumed"]] == [[2, 3], [1], [0, 1, 2, 3]]
    one = train(*small("q_learning"), out=tmp_path / "one", seeds=8, **SETTINGS)
    assert_same_bits(several, resume(one.path, steps=640))


def test_meshes_beside_each_other_and_failed_runs(tmp_path):
    """Four devices in two meshes, for two programs of two batches; the returns of every second one overflow.

    Both meshes call back, one at a time.
    """
    settings = {"seeds": 2, "steps": 400, "evaluate_every": 200, "evaluation_episodes": 1, "width": 2}
    algorithms, worlds = grid(QLearning(), double=[False, True]), grid(GridWorld(), goal_reward=[1.0, 3e38])
    said = in_a_process_with_devices(
        4,
        f"""
import threading, time
from envs import GridWorld
from jaxrl import train
from jaxrl.algorithms import QLearning
inside, threads, runs = [], set(), []
def listen(report):
    inside.append(report)
    threads.add(threading.get_ident())
    time.sleep(0.05)
    runs.append([run.id for run in report.runs])
    assert inside == [report], "two calls at once"
    inside.clear()
train({algorithms!r}, {worlds!r}, out={str(tmp_path / "several")!r}, callbacks=[listen], **{settings})
assert len(threads) == 2
assert sorted(runs) == [ids for ids in ([0, 1], [2, 3], [4, 5], [6, 7]) for _ in range(3)]
""",
    )
    assert "2 programs, 4 batches of width 2, 4 at a time" in said
    several = load(tmp_path / "several")
    assert several.runs.status.to_list() == ["complete"] * 4 + ["failed"] * 4
    one = train(algorithms, worlds, out=tmp_path / "one", **settings)
    assert_same_bits(several, one)
    assert several.runs.equals(one.runs)


def test_batches_of_one_program_that_are_equally_far_are_grouped(monkeypatch):
    study = make_study(QLearning(), [GridWorld(), FrozenLake()], seeds=6, steps=10)
    batches = make_batches(study, 2)
    monkeypatch.setattr(jax, "local_devices", lambda: [*range(5)])
    monkeypatch.setattr(placement, "lane_mesh", tuple)
    formed, meshes = place_batches(batches, [None, 4, None, None, None, None], True)
    assert [[batch.index for batch in group] for group in formed] == [[0, 2], [1], [3, 4], [5]]
    assert meshes == [(0, 1), (2, 3)]
    assert place_batches(batches[:1], [None], True)[1] == [(0,)]
    assert place_batches(batches[:3], [None] * 3, False) == (
        [(batch,) for batch in batches[:3]],
        [(0,), (1,), (2,)],
    )
    assert place_batches([], [], True) == ([], [])


@pytest.mark.parametrize(
    ("counts", "devices", "size"),
    [
        ([4], 2, 2),
        ([9], 8, 8),
        ([3], 2, 2),  # one device would do as well, but compile twice
        ([5, 3], 8, 1),  # all at once
        ([3, 2], 8, 3),
        ([8, *[1] * 7], 8, 1),
        ([1, 1], 2, 1),
        ([64, 64], 8, 8),
    ],
)
def test_the_size_of_groups_is_the_one_that_is_done_first(counts, devices, size):
    assert batches_per_mesh(counts, devices) == size


@pytest.mark.parametrize(
    ("platform", "devices", "options"),
    [
        ("cpu", 1, {}),
        ("cpu", 2, {"xla_disable_hlo_passes": "cse"}),
        ("gpu", 1, {"xla_gpu_deterministic_ops": True}),
        ("gpu", 2, {"xla_gpu_deterministic_ops": True}),
        ("tpu", 1, {}),
    ],
)
def test_the_compiler_is_asked_for_equal_bits(platform, devices, options):
    """On a GPU, two processes that choose the fastest kernels may choose different ones."""
    device = SimpleNamespace(platform=platform)
    assert compiler_options(SimpleNamespace(size=devices, devices=np.array([device] * devices))) == options


def test_programs_run_with_the_options_of_a_gpu(monkeypatch):
    """XLA knows their names, and they do not change what a processor computes."""
    algorithm, env = small("ppo")
    (batch,) = make_plan(make_study(algorithm, env, seeds=2, steps=64), 2).batches
    group = MeshBatches.alone(batch)
    (algorithm, env, keys, shared), outcomes = group.lanes(), []
    for options in ({}, ON_GPUS):
        monkeypatch.setattr(mesh, "compiler_options", lambda _, options=options: options)
        engine_for.cache_clear()
        engine = engine_for(group.mesh, 1)
        state = engine.initialise(algorithm, env, keys.init, shared, 1)
        outcomes.append(engine.advance(algorithm, env, state, keys.steps, shared, 0, 1, 1)[0])
    engine_for.cache_clear()
    assert equal(*map(bits, outcomes))


def test_lanes_that_only_fill_hold_no_run():
    batches = make_batches(make_study(QLearning(), GridWorld(), seeds=3, steps=10), 2)
    group = MeshBatches(batches, jax.sharding.AbstractMesh((3,), ("lanes",)))
    found = [group.run_in(lane) for lane in range(6)]
    assert [run and run.id for run in found] == [0, 1, 2, None, None, None]
