"""Several devices share the batches of a study: the bits are those of one device."""

import os
import re
import subprocess
import sys

import jax
import pytest

from envs import FrozenLake, GridWorld
from jaxrl import grid, load, registry, resume, train
from jaxrl.algorithms import QLearning
from jaxrl.study import teams
from jaxrl.study.plan import make_batches
from jaxrl.study.study import make_study
from jaxrl.study.teams import Team, make_teams, team_size
from tests.lanes import SMALL, bits

EXCHANGE = (
    r"\b(all-(?:gather|reduce|to-all)|reduce-scatter|collective-\w+|send|recv|partition-id)(?:-start)?\("
)
PROGRAMS = ["advance", "evaluate", "initialise", "keys_at"]


def in_a_process_with_devices(devices, code, **variables):
    """What a fresh interpreter says that sees its processor as several devices."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)} | variables
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stderr


def assert_same_bits(several, one):
    assert several.curves.equals(one.curves)
    for run in several.runs.index:
        batch, lane = one.find(run)
        here, there = (bits(results.state(batch)[2], lane) for results in (several, one))
        assert [leaf.tobytes() for leaf in here] == [leaf.tobytes() for leaf in there]  # a NaN is itself


@pytest.mark.parametrize(
    ("name", "devices", "batches"),
    [("q_learning", 8, 9), ("dqn", 2, 3), ("ppo", 8, 9), ("sac", 2, 3), ("discrete_sac", 2, 3)],
)
def test_several_devices_give_the_bits_of_one(name, devices, batches, tmp_path):
    """Batches of two, side by side and one after the other; each program is compiled once, for all devices."""
    algorithm, environment = SMALL[name]
    settings = {
        "seeds": 2 * batches,
        "steps": 320,
        "evaluate_every": 160,
        "evaluation_episodes": 2,
        "width": 2,
    }
    out = tmp_path / "several"
    said = in_a_process_with_devices(
        devices,
        "from jaxrl import train; from tests.lanes import small;"
        f"train(*small({name!r}), out={str(out)!r}, **{settings})",
        XLA_FLAGS=f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text",
    )
    assert f"{batches} batches of width 2, {devices} at a time" in said
    compiled = [file.read_text() for file in tmp_path.glob("*after_optimizations.txt")]
    shared = [text for text in compiled if f"num_partitions={devices}" in text]
    assert sorted(re.match(r"HloModule jit_(\w+)", text)[1] for text in shared) == PROGRAMS
    assert not any(re.search(EXCHANGE, text) for text in shared)
    (advance,) = (text for text in shared if text.startswith("HloModule jit_advance"))
    one = train(algorithm, registry.environment(environment), out=tmp_path / "one", **settings)
    assert one.manifest["plan"]["devices"] == 1
    state = one.state(one.find(0)[0])[2]
    assert advance.count("may-alias") >= len(jax.tree.leaves(state))  # it is donated
    assert_same_bits(load(out), one)


def test_an_exchange_would_be_noticed():
    program = in_a_process_with_devices(
        2,
        "import jax, sys; from jaxrl.mesh import lane_mesh, side_by_side;"
        "numbers = side_by_side([jax.numpy.ones(2)] * 2, lane_mesh(jax.local_devices()));"
        "print(jax.jit(jax.numpy.sum).lower(numbers).compile().as_text(), file=sys.stderr)",
    )
    assert "num_partitions=2" in program
    assert "all-reduce" in re.findall(EXCHANGE, program)


@pytest.mark.parametrize("name", ["q_learning", "dqn"])
def test_batches_that_are_not_equally_far_give_the_bits_of_one(name, tmp_path):
    """The disk is full when one batch of the second team is saved and the other is not, then a finished one
    is trained again alone; another budget finds them together."""
    settings = {"seeds": 8, "steps": 320, "evaluate_every": 160, "evaluation_episodes": 2, "width": 2}
    out = str(tmp_path / "several")
    in_a_process_with_devices(
        2,
        f"""
from pathlib import Path
import pytest
from jaxrl import InputError, resume, train
from jaxrl.store.folder import Folder
from jaxrl.study.plan import make_batches
from jaxrl.store.manifest import study_of
from tests.lanes import small
from tests.store.test_states import full_after
with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match="No space left"):
    full_after(patch, saves=2 * 3 + 3)
    train(*small({name!r}), out={out!r}, checkpoint_every=0.0, **{settings})
folder = Folder(Path({out!r}))
saved = [folder.progress(batch) for batch in make_batches(study_of(folder.manifest()), 2)]
last, middle, start = sorted({{progress.iteration for progress in saved}}, reverse=True)
assert [progress.iteration for progress in saved] == [last, last, middle, start]
resume({out!r})
resume({out!r}, rerun=1)
resume({out!r}, steps=640)
""",
    )
    several = load(out)
    assert [note["anew"] for note in several.manifest["resumed"]] == [[], [1], []]
    algorithm, environment = SMALL[name]
    one = train(algorithm, registry.environment(environment), out=tmp_path / "one", **settings)
    assert_same_bits(several, resume(one.path, steps=640))


def test_meshes_beside_each_other_and_failed_runs(tmp_path):
    """Four devices in two meshes, for two programs of two batches; the returns of every second one overflow."""
    settings = {"seeds": 2, "steps": 400, "evaluate_every": 200, "evaluation_episodes": 1, "width": 2}
    algorithms, worlds = grid(QLearning(), double=[False, True]), grid(GridWorld(), goal_reward=[1.0, 3e38])
    said = in_a_process_with_devices(
        4,
        "from envs import GridWorld; from jaxrl import train; from jaxrl.algorithms import QLearning;"
        f"train({algorithms!r}, {worlds!r}, out={str(tmp_path / 'several')!r}, **{settings})",
    )
    assert "2 programs, 4 batches of width 2, 4 at a time" in said
    several = load(tmp_path / "several")
    assert several.runs.status.to_list() == ["complete"] * 4 + ["failed"] * 4
    one = train(algorithms, worlds, out=tmp_path / "one", **settings)
    assert_same_bits(several, one)
    assert several.runs.equals(one.runs)


def test_batches_of_one_program_that_are_equally_far_form_teams(monkeypatch):
    study = make_study(QLearning(), [GridWorld(), FrozenLake()], seeds=6, steps=10)
    batches = make_batches(study, 2)
    monkeypatch.setattr(jax, "local_devices", lambda: [*range(5)])
    monkeypatch.setattr(teams, "lane_mesh", tuple)
    formed, meshes = make_teams(batches, [None, 4, None, None, None, None], True)
    assert [[batch.index for batch in team] for team in formed] == [[0, 2], [1], [3, 4], [5]]
    assert meshes == [(0, 1), (2, 3)]
    assert make_teams(batches[:1], [None], True)[1] == [(0,)]
    assert make_teams(batches[:3], [None] * 3, False) == (
        [(batch,) for batch in batches[:3]],
        [(0,), (1,), (2,)],
    )
    assert make_teams([], [], True) == ([], [])


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
def test_the_size_of_teams_is_the_one_that_is_done_first(counts, devices, size):
    assert team_size(counts, devices) == size


def test_lanes_that_only_fill_hold_no_run():
    batches = make_batches(make_study(QLearning(), GridWorld(), seeds=3, steps=10), 2)
    team = Team(batches, jax.sharding.AbstractMesh((3,), ("lanes",)))
    found = [team.run_in(lane) for lane in range(6)]
    assert [run and run.id for run in found] == [0, 1, 2, None, None, None]
