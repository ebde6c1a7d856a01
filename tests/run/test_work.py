"""Several processes train one study in a shared folder: the bits are those of one process, whatever happens."""

import contextlib
import errno
import json
import shutil
import signal
import subprocess
import sys
import threading
import time

import filelock
import numpy as np
import pytest

from jaxrl import InputError, load, plan, resume, train, work, write_report
from jaxrl.cli import main
from jaxrl.run import loop
from jaxrl.run.reproduce import verify
from jaxrl.run.work import _checked, parse_shard
from jaxrl.store import checkpoints, files, sharing
from jaxrl.store.folder import Folder
from jaxrl.study.plan import make_batches
from tests.lanes import small
from tests.run.test_resume import SLOW_STUDY, assert_same

fcntl = pytest.importorskip("fcntl")  # workers share a lock by it
STUDY = {"seeds": 8, "steps": 640, "evaluate_every": 64, "evaluation_episodes": 2, "width": 3}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(*small("q_learning"), out=tmp_path_factory.mktemp("study") / "whole", **STUDY)


@pytest.fixture
def planned(tmp_path):
    return plan(*small("q_learning"), out=tmp_path / "planned", **STUDY)


def hashes(path):
    """Of the states and curves in the records of all batches."""
    folder = Folder(path)
    batches = make_batches(folder.study(), STUDY["width"])
    records = [
        json.loads((path / "checkpoints" / f"batch-{each.index:05d}.json").read_text()) for each in batches
    ]
    return [(record["hashes"], record["curves"]) for record in records]


def assert_whole(results, whole):
    assert_same(results, whole)
    assert hashes(results.path) == hashes(whole.path)
    kept = {file.name.partition("-0000000640")[0] for file in (results.path / "checkpoints").iterdir()}
    assert kept == {f"batch-{each:05d}{end}" for each in range(3) for end in ("", ".json")}
    assert not (results.path / "parts").exists()


def altered(path, **machine):
    """Lets the manifest say that the study began on another machine."""
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["machine"] |= machine
    (path / "manifest.json").write_text(json.dumps(manifest))


def stopping_at(step):
    return [lambda report: report.step == step]


def test_two_shards(planned, whole, capsys):
    assert work(planned, shard=(1, 2)) is None
    assert "shard 1/2 of" in capsys.readouterr().err
    assert_whole(work(planned, shard=(0, 2)), whole)
    assert len(work(planned, shard=(1, 2)).runs) == 8  # it only reads


def test_what_a_worker_began_another_process_finishes(planned, whole, tmp_path):
    with pytest.raises(
        KeyboardInterrupt, match=r"^stopped; continue with: jaxrl work .*planned --shard 0/2$"
    ):
        work(planned, shard=(0, 2), callbacks=stopping_at(320), checkpoint_every=0.0)
    half = shutil.copytree(planned, tmp_path / "half")
    assert_whole(resume(planned), whole)
    assert_whole(work(half), whole)


def test_workers_finish_what_train_began(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(*small("q_learning"), out=tmp_path / "begun", callbacks=stopping_at(320), **STUDY)
    assert work(tmp_path / "begun", shard=(2, 3)) is None
    assert_whole(work(tmp_path / "begun"), whole)


def once(action):
    """A callback that does something when it is called for the first time."""
    waiting = [action]
    return lambda _: waiting.pop()() and False if waiting else False


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_workers_that_train_the_same_batches_agree(every, planned, whole):
    """The second one does everything while the first one is in its first chunk. Both save as often."""
    options = {"checkpoint_every": every}
    second = once(lambda: work(planned, **options))
    assert_whole(work(planned, callbacks=[second], **options), whole)


def test_a_checkpoint_that_another_worker_replaces_while_it_is_read(planned, whole, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        work(planned, shard=(0, 3), callbacks=stopping_at(320))
    original = Folder.state

    def state(self, *arguments):
        monkeypatch.setattr(Folder, "state", original)
        with pytest.raises(KeyboardInterrupt):
            work(planned, shard=(0, 3), callbacks=stopping_at(448))
        return original(self, *arguments)

    monkeypatch.setattr(Folder, "state", state)
    assert_whole(work(planned), whole)
    assert Folder.state is original


@pytest.mark.parametrize("share", [(0, 1), (0, 3)])
def test_batches_that_another_worker_takes_on_just_before_they_begin(share, planned, whole, monkeypatch):
    original = loop._saved

    def saved(*arguments):
        monkeypatch.setattr(loop, "_saved", original)
        work(planned, shard=share)
        return None if share == (0, 3) else original(*arguments)

    monkeypatch.setattr(loop, "_saved", saved)
    assert_whole(work(planned), whole)


def test_a_record_that_was_made_though_the_request_failed(planned, whole, monkeypatch):
    """NFS may send the request for a link twice."""

    def write_text(path, text, only_if_absent=False):
        files.write_text(path, text, only_if_absent)
        if only_if_absent:
            raise FileExistsError

    monkeypatch.setattr(checkpoints, "write_text", write_text)
    assert_whole(work(planned), whole)


def test_a_record_that_appears_between_two_looks(whole, monkeypatch):
    folder = Folder(whole.path)
    batch = make_batches(folder.study(), STUDY["width"])[0]

    def read_text(_):
        monkeypatch.setattr(checkpoints, "read_text", files.read_text)
        raise FileNotFoundError

    monkeypatch.setattr(checkpoints, "read_text", read_text)
    assert folder.progress(batch).iteration == batch.iterations


def test_a_worker_with_other_bits_is_named_and_changes_nothing(planned, whole):
    record = planned / "checkpoints" / "batch-00000.json"

    def second():
        work(planned)
        record.write_text(record.read_text().replace(hashes(planned)[0][0]["1"], "0" * 64))

    with pytest.raises(
        InputError,
        match=r"two workers have trained batch 0 of .*, and the state of run 1 differs: the result of host .* stays",
    ):
        work(planned, callbacks=[once(second)])
    assert json.loads(record.read_text())["hashes"]["1"] == "0" * 64
    assert_whole(resume(planned, rerun=0), whole)


def test_the_tables_are_joined_after_the_last_worker_was_killed(planned, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("jaxrl.run.work.finish_together", lambda *_: False)
        assert work(planned) is None
    with pytest.raises(InputError, match="holds an unfinished study; finish it with: jaxrl resume"):
        load(planned)
    with monkeypatch.context() as patch:
        patch.setattr("jaxrl.run.workers.train_batches", None)
        assert_whole(work(planned, shard=(7, 8)), whole)


def test_curves_that_were_altered_are_found_before_they_are_joined(planned, monkeypatch):
    monkeypatch.setattr("jaxrl.run.work.finish_together", lambda *_: False)
    work(planned)
    one, other = sorted(planned.glob("parts/*.parquet"))[:2]
    shutil.copy(other, one)
    with pytest.raises(InputError, match=r"batch 0 of .* is damaged: its curves were altered: .* --rerun 0"):
        resume(planned)


def test_the_first_worker_binds_the_machine(planned, whole, monkeypatch):
    """Not the machine that planned the study, of which only the code must be the same.

    A worker that ended before it had saved anything binds nothing.
    """
    with monkeypatch.context() as patch:
        patch.setattr("jaxrl.run.work.train_plan", None)
        with pytest.raises(TypeError):
            work(planned)
    assert json.loads((planned / "manifest.json").read_text())["status"] == "running"
    altered(planned, device="of a login node", jax="0.0")
    assert work(planned, shard=(0, 2)) is None
    assert json.loads((planned / "manifest.json").read_text())["machine"] == whole.manifest["machine"]
    altered(planned, device="A 9000")
    with pytest.raises(
        InputError, match=r"was trained with device 'A 9000', here it is .*; --force continues"
    ):
        work(planned, shard=(1, 2))
    results = work(planned, shard=(1, 2), force=True)
    assert_same(results, whole)
    (note,) = results.manifest["resumed"]
    assert (note["batches"], note["differing"]["device"][0]) == ([1], "A 9000")
    assert "trained with device" in " ".join(write_report(planned).read_text().split())
    outcomes = [str(each) for each in verify(results, 8)]
    assert all(each.endswith("bit for bit") for each in outcomes[1:])


def test_what_a_worker_was_forced_to_is_noted_whoever_finishes_the_study(planned, whole):
    assert work(planned, shard=(0, 2)) is None
    altered(planned, device="A 9000")
    with pytest.raises(KeyboardInterrupt):
        work(planned, shard=(1, 2), force=True, callbacks=stopping_at(320))
    altered(planned, device=whole.manifest["machine"]["device"])
    results = resume(planned)
    assert_same(results, whole)
    resumed, forced = results.manifest["resumed"]
    assert (resumed["batches"], resumed["differing"]) == ([1], {})
    assert (forced["batches"], forced["differing"]["device"][0]) == ([1], "A 9000")


def test_a_worker_with_other_code_is_refused(planned):
    before = {path: path.read_bytes() for path in planned.rglob("*") if path.is_file()}
    altered(planned, code="0123456789abcdef")
    changed = (planned / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="was planned with code '0123456789abcdef', here it is '"):
        work(planned)
    with pytest.raises(InputError, match="was planned with code '0123456789abcdef', here it is '"):
        resume(planned)
    after = {path: path.read_bytes() for path in planned.rglob("*") if path.is_file()}
    assert after | {planned / ".lock": b""} == before | {
        planned / "manifest.json": changed,
        planned / ".lock": b"",
    }


def test_train_and_resume_need_the_folder_to_themselves(planned, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "PATIENCE", 0.1)
    refused = []

    def attempt(function, *arguments, **options):
        with pytest.raises(InputError, match="another process is writing") as error:
            function(*arguments, **options)
        refused.append(error)

    work(planned, callbacks=[once(lambda: attempt(resume, planned))])
    out = tmp_path / "other"
    train(*small("q_learning"), out=out, callbacks=[once(lambda: attempt(work, out))], **STUDY)
    assert len(refused) == 2


def test_a_process_that_looks_at_the_lock_stops_nobody(planned, whole):
    """`status` has the lock for a moment, and here for 0.3 s."""
    looking = filelock.FileLock(planned / ".lock", thread_local=False)
    looking.acquire()
    threading.Timer(0.3, looking.release).start()
    assert_whole(resume(planned), whole)


def test_a_file_system_without_locks_is_named(planned, monkeypatch):
    def flock(descriptor, flags):
        if flags & fcntl.LOCK_SH:
            raise OSError(errno.ENOLCK, "No locks available")
        original(descriptor, flags)

    original = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(InputError, match=r"planned cannot be written: No locks available; once it can be"):
        work(planned)


def test_a_plan_stays_as_it_is(planned, capsys):
    before = (planned / "manifest.json").read_bytes()
    assert plan(*small("q_learning"), out=planned, **STUDY) == planned
    assert "holds this study already, planned: it stays as it is" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(InputError, match="holds another study, which differs in steps"):
        plan(*small("q_learning"), out=planned, **STUDY | {"steps": 1_280})
    assert (planned / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("shard", ["5/4", "4/4", "-1/4", "1", "a/b", "0/0", ""])
def test_shards_that_do_not_exist(shard, planned, capsys):
    with pytest.raises(InputError, match=rf"shard must be I/N with 0 <= I < N, .* got '?{shard}'?$"):
        parse_shard(shard)
    with pytest.raises(SystemExit) as end:
        main(["work", str(planned), f"--shard={shard}"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("jaxrl: shard must be")


def test_a_shard_is_a_pair_of_whole_numbers(planned):
    assert _checked((np.int64(1), np.int64(2))) == (1, 2)
    for shard in ((4, 4), (0.0, 4), "0/4", 3):
        with pytest.raises(InputError, match="shard must be I/N"):
            work(planned, shard=shard)


def test_a_folder_without_a_plan(tmp_path, capsys):
    for command in ("work", "status"):
        with pytest.raises(SystemExit) as end:
            main([command, str(tmp_path)])
        assert end.value.code == 2
        assert "is not a results folder: it has no manifest.json" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def status(path, capsys):
    """What `jaxrl status` prints, and its exit code."""
    with pytest.raises(SystemExit) as end:
        main(["status", str(path)])
    return capsys.readouterr().out, end.value.code


def test_status(planned, capsys):
    printed, code = status(planned, capsys)
    assert printed.startswith(
        "3 batches: 0 done, 0 begun, 3 waiting\n0 of 5,120 environment steps, 0 failed runs\n"
    )
    assert (printed.endswith("no process trains it\n"), code) == (True, 1)
    seen = []
    with contextlib.suppress(KeyboardInterrupt):
        work(planned, shard=(0, 2), callbacks=[once(lambda: seen.append(status(planned, capsys)))])
    assert seen[0][0].endswith("in training\n")
    with pytest.raises(KeyboardInterrupt):
        work(planned, shard=(1, 2), callbacks=stopping_at(320))
    printed, code = status(planned, capsys)
    assert printed.startswith("3 batches: 2 done, 1 begun, 0 waiting\n4,160 of 5,120 environment steps")
    assert ("left, one batch after the other" in printed, code) == (True, 1)
    work(planned)
    printed, code = status(planned, capsys)
    assert (printed.endswith("complete\n"), code) == (True, 0)


WORKER = (
    SLOW_STUDY.partition("cli.main")[0]
    + 'cli.main(["work", OUT, "--shard", "SHARD", "--checkpoint-every", "0"])'
)


@contextlib.contextmanager
def working(out, shard, pause):
    """A process that trains a share with a pause in each chunk after the first."""
    code = WORKER.replace("OUT", repr(str(out))).replace("PAUSE", str(pause)).replace("SHARD", shard)
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_processes_that_are_killed_or_warned(planned, whole):
    """One is killed, the other gets a scheduler's warning; a third one finishes both shares."""
    with working(planned, "0/2", 0.2) as killed, working(planned, "1/2", 0.2) as warned:
        deadline = time.monotonic() + 120
        while not all([*planned.glob(f"checkpoints/batch-0000{batch}*.json")] for batch in (0, 1)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed.kill()
        warned.send_signal(signal.SIGUSR1)
        _, said = warned.communicate(timeout=60)
        assert warned.returncode == 128 + signal.SIGUSR1
        assert f"jaxrl: stopped; continue with: jaxrl work {planned} --shard 1/2\n" in said
    assert_whole(work(planned), whole)
