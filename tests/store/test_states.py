"""When states are saved, what that costs, and what a full disk does to them."""

import threading
from types import SimpleNamespace

import orbax.checkpoint as ocp
import pytest

from envs import GridWorld
from jaxrl import InputError, resume, train
from jaxrl.algorithms import QLearning
from jaxrl.run import loop
from jaxrl.run.loop import FIRST_CHECKPOINT, SAVING_SHARE, Visit, train_team
from jaxrl.store import states as checkpoints
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import study_of
from jaxrl.study.plan import make_batches
from jaxrl.study.study import make_study
from jaxrl.study.teams import Team
from tests.run.test_resume import assert_same


class Disk:
    """A folder that keeps nothing, and takes its time by a clock of its own; so does each chunk, a second."""

    def __init__(self, monkeypatch, record=0.0, save=0.0):
        self.clock, self.costs = 0.0, {"record": record, "save": save}
        self.recorded, self.saved, self.seconds = [], [], {}

        def visited(study, team, *_):
            for chunk in study.chunks(team.batches[0].runs[0].algorithm):
                self.clock += 1.0
                yield Visit(chunk, (), {}, {})

        clock = SimpleNamespace(monotonic=lambda: self.clock, perf_counter=lambda: self.clock)
        monkeypatch.setattr(loop, "time", clock)
        monkeypatch.setattr(loop, "visits", visited)

    def progress(self, batch):
        return None

    def record(self, batch, step, values):
        self.clock += self.costs["record"]
        self.recorded.append(step)

    def save(self, batch, iteration, state, seconds, failed):
        self.clock += self.costs["save"]
        self.saved.append(iteration)
        self.seconds = seconds

    def train(self, checkpoint_every=None, stop=None):
        """A thousand iterations, each a chunk."""
        study = make_study(QLearning(), GridWorld(), seeds=1, steps=1_000, evaluate_every=1)
        (batch,) = make_batches(study, 1)
        train_team(
            study, Team.alone(batch), self, checkpoint_every, stop or threading.Event(), lambda *_: None
        )


def test_checkpoints_take_their_share_of_the_time(monkeypatch):
    """All but the last one, which is written however little time has passed."""
    disk = Disk(monkeypatch, save=2.0)
    disk.train()
    assert disk.saved[0] == FIRST_CHECKPOINT - 1  # the first chunk is empty
    assert disk.saved[-1] == 1_000
    shares = [2.0 * (len(disk.saved) - last) / disk.clock for last in (1, 0)]
    assert shares[0] <= SAVING_SHARE
    assert shares[1] > 0.9 * SAVING_SHARE


def test_what_tables_cost_counts_as_saving(monkeypatch):
    """The folder itself adds what a save costs."""
    disk = Disk(monkeypatch, record=0.5, save=2.0)
    disk.train(checkpoint_every=1e9)
    assert disk.saved == [1_000]
    assert disk.seconds["save"] == pytest.approx(0.5 * 1_001)


def test_the_chunk_in_which_a_stop_comes_is_saved(monkeypatch):
    """Whenever it comes: here after it was asked for the first time."""
    asked = []
    stop = SimpleNamespace(is_set=lambda: bool(asked) or asked.append(1))
    disk = Disk(monkeypatch)
    disk.train(checkpoint_every=1e9, stop=stop)
    assert disk.recorded == [0, 1]
    assert disk.saved == [1]


def full_before(monkeypatch, saves):
    """The file system says that there is no room, from some save on."""
    calls = []

    def usage(_):
        calls.append(1)
        return SimpleNamespace(free=10**12 if len(calls) <= saves else 0)

    monkeypatch.setattr(checkpoints.shutil, "disk_usage", usage)


def full_in_the_middle(monkeypatch, saves):
    """There is no more room when half of a state is written."""
    original, calls = ocp.StandardCheckpointer.save, []

    def save(self, path, arrays):
        calls.append(1)
        if len(calls) <= saves:
            return original(self, path, arrays)
        path.mkdir()
        (path / "half").write_text("of it")
        raise ValueError("RESOURCE_EXHAUSTED: Error writing; [source locations]")

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", save)


@pytest.mark.parametrize("fill", [full_before, full_in_the_middle])
def test_a_full_disk_leaves_the_last_checkpoint(fill, tmp_path):
    settings = {"seeds": 3, "steps": 320, "evaluate_every": 32, "evaluation_episodes": 2}
    whole = train(QLearning(), GridWorld(), out=tmp_path / "whole", **settings)
    out = tmp_path / "full"
    with pytest.MonkeyPatch.context() as patch:
        fill(patch, saves=5)
        with pytest.raises(
            InputError, match=r"No space left on device; once it can be, continue with: jaxrl"
        ):
            train(QLearning(), GridWorld(), out=out, checkpoint_every=0.0, **settings)
    folder = Folder(out)
    (batch,) = make_batches(study_of(folder.manifest()), 3)
    assert folder.progress(batch).iteration == 4 * 32
    folder.state(batch, whole.manifest["study"]["prng"])  # raises if a bit is another than was saved
    assert_same(resume(out), whole)
