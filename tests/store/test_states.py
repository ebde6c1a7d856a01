"""States on disk: their bits, their damages, when they are saved, and what a full disk does to them."""

import hashlib
import os
import resource
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, random
from safetensors import safe_open
from safetensors.numpy import load_file

from envs import GridWorld
from jaxrl import InputError, resume, train
from jaxrl.algorithms import QLearning
from jaxrl.random.generators import GENERATORS
from jaxrl.run import loop
from jaxrl.run.loop import FIRST_CHECKPOINT, SAVING_SHARE, Visit, train_batches
from jaxrl.store import states
from jaxrl.store.files import appearing_whole, file_hash
from jaxrl.store.folder import Folder
from jaxrl.store.states import TYPES, lane_hashes, read_state, write_state
from jaxrl.study.placement import MeshBatches
from jaxrl.study.plan import make_batches
from jaxrl.study.study import make_study
from tests.lanes import bits, equal
from tests.run.test_resume import Crash, assert_same


@flax.struct.dataclass
class Counted:
    count: Array
    values: dict[str, tuple[Array, ...]]


@pytest.fixture
def state():
    """Two lanes."""
    values = {"a/b": (jnp.arange(6.0).reshape(2, 3), jnp.ones((2, 1), bool)), "ä'": ()}
    return Counted(jnp.arange(2), values)


def written(tmp_path, state):
    """The path of a state that was written, and what `read_state` needs to know of it."""
    path = tmp_path / "state.safetensors"
    return path, jax.eval_shape(lambda: state), write_state(path, state)


def test_every_type_and_shape_comes_back_to_the_bit(tmp_path):
    rng = np.random.default_rng(0)

    def array(name, *shape):
        """Any bits at all, NaNs of every kind among them; a bool has two values."""
        dtype = jnp.dtype(name)
        found = rng.integers(2 if name == "bool" else 256, size=(*shape, dtype.itemsize), dtype=np.uint8)
        return found.view(dtype).reshape(shape)

    shapes = [(), (5,), (0,), (3, 0, 2), (4, 3)]
    with jax.enable_x64(True):
        state = {name: [jnp.asarray(array(name, *shape)) for shape in shapes] for name in TYPES}
        again = read_state(*written(tmp_path, state))
    assert jax.tree.structure(again) == jax.tree.structure(state)
    for one, two in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        assert isinstance(one, Array)
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()


def test_arrays_that_are_not_contiguous_come_back(tmp_path):
    table = np.arange(24, dtype=np.int32).reshape(4, 6)
    state = [table.T, table[::2, ::-1], np.broadcast_to(np.float32(1), (2, 3))]
    assert equal(read_state(*written(tmp_path, state)), state)


@pytest.mark.parametrize("generator", [*GENERATORS.values(), "rbg"], ids=str)
def test_keys_of_every_generator_come_back(generator, tmp_path):
    """A state may hold keys of several generators, one of which is another than the study's."""
    state = [random.split(random.key(7, impl=impl), 3) for impl in (generator, "threefry2x32")]
    again = read_state(*written(tmp_path, state))
    assert [keys.dtype for keys in again] == [keys.dtype for keys in state]
    for one, two in zip(again, state, strict=True):
        assert equal([random.bits(key) for key in one], [random.bits(key) for key in two])


def test_a_state_is_a_safetensors_file_of_named_arrays(tmp_path, state):
    """The library reads it, it holds nothing else, and whoever may read other new files may read it."""
    path, *_ = written(tmp_path, state)
    arrays = {".count": state.count}
    arrays |= {f".values['a/b'][{i}]": value for i, value in enumerate(state.values["a/b"])}
    found = load_file(path)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() is None
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert {file.name for file in tmp_path.iterdir()} == {path.name, "other"}


def test_the_same_state_is_the_same_file(tmp_path, state):
    path, _, digest = written(tmp_path, state)
    assert write_state(tmp_path / "again", state) == digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert write_state(tmp_path / "other", state.replace(count=state.count + 1)) != digest


def test_a_state_without_arrays(tmp_path):
    assert read_state(*written(tmp_path, {"nothing": ()})) == {"nothing": ()}


def test_a_type_that_cannot_be_saved_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"^\['q'\] is int4, which cannot be saved; expected one of bool, int8"
    ):
        write_state(tmp_path / "state", {"q": jnp.zeros(3, jnp.int4)})
    assert not [*tmp_path.iterdir()]


def test_writing_copies_no_array(tmp_path):
    state = {"replay": np.ones((4, 2_000_000), np.float32)}
    tracemalloc.start()
    try:
        write_state(tmp_path / "state", state)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * state["replay"].nbytes


def flipped(place):
    """A damage of one bit."""

    def damage(path):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flipped(0), "was altered or cut short: its hash is not the recorded one"),
        (flipped(12), "was altered or cut short"),
        (flipped(-1), "was altered or cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "was altered or cut short"),
        (lambda path: path.write_bytes(b""), "was altered or cut short"),
        (Path.unlink, "is missing"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
    ],
)
def test_damages_are_found(damage, said, tmp_path, state):
    path, shapes, digest = written(tmp_path, state)
    damage(path)
    with pytest.raises(InputError, match=rf"^{path} {said}"):
        read_state(path, shapes, digest)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"more": jnp.ones(2)}, r"\['more'\] is missing, expected float32\[2\]"),
        ({"a": ()}, r"which also has \['a'\]"),
        ({"a": jnp.ones((2, 4))}, r"\['a'\] is float32\[2, 3\], expected float32\[2, 4\]"),
        ({"a": jnp.ones((2, 3), jnp.int32)}, r"\['a'\] is float32\[2, 3\], expected int32\[2, 3\]"),
        (
            {"key": random.split(random.key(0, impl="rbg"))},
            r"\['key'\] is uint32\[2, 2\], expected uint32\[2, 4\]",
        ),
    ],
    ids=str,
)
def test_a_whole_file_of_another_state(changes, said, tmp_path):
    state = {"a": jnp.ones((2, 3)), "key": random.split(random.key(0))}
    path, _, digest = written(tmp_path, state)
    with pytest.raises(InputError, match=rf"^{path} holds another state[,:] {said}$"):
        read_state(path, jax.eval_shape(lambda: state | changes), digest)


def test_a_whole_file_that_is_none_of_ours(tmp_path, state):
    path = tmp_path / "state"
    path.write_bytes(b"\x08" + bytes(7) + b"no JSON " + bytes(8))
    with pytest.raises(InputError, match=rf"^{path} cannot be read: it was altered .* or is of another kind"):
        read_state(path, jax.eval_shape(lambda: state), file_hash(path))


def test_two_that_write_a_file_at_once_leave_it_whole(tmp_path):
    path = tmp_path / "file"
    with appearing_whole(path) as one, appearing_whole(path) as two:
        one.write(b"one")
        two.write(b"two")
    assert path.read_text() == "one"  # it ends last
    assert [*tmp_path.iterdir()] == [path]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with appearing_whole(path) as file:
            file.write(b"half")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        fail()
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_state_that_cannot_be_written_to_its_end_leaves_the_last_one(tmp_path, state):
    """The operating system takes half of the file."""
    path, shapes, digest = written(tmp_path, state)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_state(path, state.replace(count=state.count + 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert equal(bits(read_state(path, shapes, digest)), bits(state))


def test_lane_hashes_are_of_all_bits_of_a_lane():
    """Of whatever type and memory layout, and of no other lane's bits."""
    state = [jnp.zeros((3, 2), jnp.bfloat16), jnp.zeros(3, bool), random.split(random.key(0), 3)]
    before = lane_hashes(state, range(3))
    assert len({*before}) == 3  # the keys differ
    assert lane_hashes(state, [2]) == before[2:]
    for changed in (
        [state[0].at[1, 1].set(-0.0), *state[1:]],
        [state[0], state[1].at[1].set(True), state[2]],
    ):
        after = lane_hashes(changed, range(3))
        assert [one == two for one, two in zip(before, after, strict=True)] == [True, False, True]
    table = np.arange(6.0).reshape(3, 2)
    assert lane_hashes(np.asfortranarray(table), range(3)) == lane_hashes(table, range(3))


class Disk:
    """A folder that keeps nothing, and takes its time by a clock of its own; so does each chunk, a second."""

    def __init__(self, monkeypatch, save=0.0):
        self.clock, self.cost = 0.0, save
        self.recorded, self.saved = [], []

        def visited(study, group, *_):
            for chunk in study.chunks(group.batches[0].runs[0].algorithm):
                self.clock += 1.0
                yield Visit(chunk, (), {}, {})

        clock = SimpleNamespace(monotonic=lambda: self.clock, perf_counter=lambda: self.clock)
        monkeypatch.setattr(loop, "time", clock)
        monkeypatch.setattr(loop, "visits", visited)

    def refresh(self):
        pass

    def progress(self, batch):
        return None

    def save(self, batch, iteration, state, values, seconds, failed):
        self.clock += self.cost
        self.recorded.append([*values])
        self.saved.append(iteration)

    def train(self, checkpoint_every=None, stop=None):
        """A thousand iterations, each a chunk."""
        study = make_study(QLearning(), GridWorld(), seeds=1, steps=1_000, evaluate_every=1)
        (batch,) = make_batches(study, 1)
        train_batches(
            study,
            MeshBatches.alone(batch),
            self,
            checkpoint_every,
            stop or threading.Event(),
            lambda *_: None,
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


def test_each_value_is_saved_once(monkeypatch):
    disk = Disk(monkeypatch, save=2.0)
    disk.train(checkpoint_every=300.0)
    assert disk.saved == [299, 599, 899, 1_000]
    assert [steps[-1] for steps in disk.recorded] == disk.saved
    assert [step for steps in disk.recorded for step in steps] == [*range(1_001)]


def test_the_chunk_in_which_a_stop_comes_is_saved(monkeypatch):
    """Whenever it comes: here after it was asked for the first time."""
    asked = []
    stop = SimpleNamespace(is_set=lambda: bool(asked) or asked.append(1))
    disk = Disk(monkeypatch)
    disk.train(checkpoint_every=1e9, stop=stop)
    assert disk.recorded == [[0, 1]]
    assert disk.saved == [1]


def full_after(monkeypatch, saves):
    """From some save on the file system says that there is no room."""
    calls = []

    def appearing(path):
        calls.append(path)
        return appearing_whole(path) if len(calls) <= saves else Path("/dev/full").open("wb", buffering=0)

    monkeypatch.setattr(states, "appearing_whole", appearing)


def killed_before_the_rename(monkeypatch, saves):
    """The process ends when a state is written under its temporary name."""
    replace, calls = os.replace, []

    def replacing(source, target):
        calls.extend(["state"] * (Path(target).suffix == ".safetensors"))
        if len(calls) > saves:
            raise Crash
        replace(source, target)

    monkeypatch.setattr(os, "replace", replacing)


def killed_after_the_rename(monkeypatch, saves):
    """The process ends when a state is in its place and the note of progress is that of the one before."""
    write, calls = Folder._write_json, []

    def writing(self, name, values):
        calls.extend(["note"] * name.startswith("checkpoints/"))
        if len(calls) > saves:
            raise Crash
        write(self, name, values)

    monkeypatch.setattr(Folder, "_write_json", writing)


@pytest.mark.parametrize("interrupt", [full_after, killed_before_the_rename, killed_after_the_rename])
def test_a_save_that_is_interrupted_leaves_the_last_checkpoint(interrupt, tmp_path):
    settings = {"seeds": 3, "steps": 320, "evaluate_every": 32, "evaluation_episodes": 2}
    whole = train(QLearning(), GridWorld(), out=tmp_path / "whole", **settings)
    out = tmp_path / "interrupted"
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, saves=5)
        with pytest.raises((InputError, Crash)) as error:
            train(QLearning(), GridWorld(), out=out, checkpoint_every=0.0, **settings)
    if interrupt is full_after:
        assert "No space left on device; once it can be, continue with: jaxrl resume" in str(error.value)
    folder = Folder(out)
    (batch,) = make_batches(folder.study(), 3)
    assert folder.progress(batch).iteration == 4 * 32
    folder.state(batch)  # raises if a bit is another than was saved
    assert_same(resume(out), whole)
    names = {file.name for file in (out / "checkpoints").iterdir()}
    assert names == {"batch-00000.json", "batch-00000-0000000320.safetensors"}
