"""Nothing is lost: studies that are interrupted, damaged or extended end with the bits of whole ones."""

import contextlib
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from jaxrl import InputError, load, resume, train
from jaxrl.run.reproduce import replay, verify
from jaxrl.store import manifest
from jaxrl.store.folder import Folder
from tests.lanes import OFF_POLICY, SMALL, bits, equal, small

SETTINGS = {
    "seeds": 5,
    "steps": 640,
    "evaluate_every": 64,
    "evaluation_episodes": 2,
    "width": 3,
    "checkpoint_every": 0.0,
}


def trained(name, out, **changes):
    return train(*small(name), out=out, **(SETTINGS | changes))


def assert_same(one, two):
    """Curves, statuses and every bit of the final states agree."""
    pd.testing.assert_frame_equal(one.runs, two.runs)
    pd.testing.assert_frame_equal(one.curves, two.curves)
    for run in one.runs.run:
        (batch, lane), (other, place) = one.find(run), two.find(run)
        assert equal(bits(one.state(batch), lane), bits(two.state(other), place))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained("q_learning", tmp_path_factory.mktemp("study") / "whole")


@pytest.fixture
def copy(whole, tmp_path):
    return load(shutil.copytree(whole.path, tmp_path / "copy"))


class Crash(Exception):
    """Instead of a power cut."""


def crash(*_):
    raise Crash


@pytest.fixture
def crashing(monkeypatch):
    """Lets a method of folders fail at some call of it."""

    def arrange(method, call):
        original, left = getattr(Folder, method), iter(range(call - 1))

        def failing(self, *arguments):
            if next(left, None) is None:
                if method == "_begin":
                    self._write_json("manifest.json", arguments[0])
                monkeypatch.setattr(Folder, method, original)
                raise Crash
            return original(self, *arguments)

        monkeypatch.setattr(Folder, method, failing)

    return arrange


@pytest.mark.parametrize(("method", "call"), [("_begin", 1), ("save", 7), ("save_state", 9), ("finish", 1)])
def test_a_study_that_crashed_goes_on_to_the_same_bits(method, call, whole, tmp_path, crashing):
    """Having hardly begun, before the seventh save or after the ninth's curves, or before the tables are joined."""
    crashing(method, call)
    with pytest.raises(Crash):
        trained("q_learning", tmp_path / "crashed")
    with pytest.raises(InputError, match=r"holds an unfinished study; finish it with: jaxrl resume"):
        load(tmp_path / "crashed")
    assert_same(resume(tmp_path / "crashed"), whole)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_any_algorithm_goes_on_and_all_its_runs_come_back_bit_for_bit(name, tmp_path, crashing):
    """They are trained again in one go: all of a batch together, and one among other neighbours, alone."""
    crashing("save", 7)
    with pytest.raises(Crash):
        trained(name, tmp_path / "crashed")
    results = resume(tmp_path / "crashed")
    states, *runs = verify(results, 5)
    assert str(states) == "saved states: 2 of 2 match their hashes"
    said = [f"run {run}: curve and final state reproduced bit for bit" for run in range(5)]
    assert [*map(str, runs)] == said
    assert {run.deviation for run in runs} == {0}
    assert replay(results, 4).first is None


SMALLER = " ".join(f"--set {name}={value}" for name, value in OFF_POLICY.items() if name != "network")
COMMANDS = {
    "q_learning": "q_learning GridWorld-v0",
    "dqn": f"dqn CartPole-v1 {SMALLER} --set network.hidden=16",
}
SLOW_STUDY = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born deaf to it
from jaxrl import cli
from jaxrl.store.folder import Folder
save = Folder.save
def slow(self, batch, iteration, *values):
    time.sleep(PAUSE if iteration else 0)
    save(self, batch, iteration, *values)
Folder.save = slow
cli.main([*"train STUDY --seeds 5 --steps 640 --evaluate-every 64 --width 3".split(),
          *"--evaluation-episodes 2 --checkpoint-every 0 --out".split(), OUT])
"""


@contextlib.contextmanager
def training_slowly(out, pause=0.3, name="q_learning"):
    """A process that trains the study with a pause in each chunk after the first, which it has saved."""
    code = SLOW_STUDY.replace("STUDY", COMMANDS[name])
    code = code.replace("OUT", repr(str(out))).replace("PAUSE", str(pause))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("checkpoints/*.json")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_study_goes_on_to_the_same_bits(tmp_path):
    with training_slowly(tmp_path / "killed", name="dqn") as process:
        process.kill()
    assert_same(resume(tmp_path / "killed"), trained("dqn", tmp_path / "whole"))


def test_ctrl_c_once_saves_and_says_how_to_go_on(whole, tmp_path, capfd):
    """Here during the second chunk."""
    out, steps = tmp_path / "stopped", []

    def press(report):
        steps.append(report.step)
        if report.step == 64:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # until the main thread has seen it

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=f"^stopped; continue with: jaxrl resume {out}$"):
        trained("q_learning", out, callbacks=[press])
    assert signal.getsignal(signal.SIGINT) is before
    assert "stopping after this chunk; press Ctrl-C again to stop at once" in capfd.readouterr().err
    progress = json.loads((out / "checkpoints" / "batch-00000.under-way.json").read_text())
    assert progress["iteration"] == steps[-1]
    assert sorted(file.name for file in (out / "parts").iterdir())[-1] == f"00000-{steps[-1]:015d}.parquet"
    assert_same(resume(out), whole)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("SIGTERM", "SIGTERM: stopping after this chunk; send it again to stop at once"),
        ("SIGHUP", "SIGHUP: stopping after this chunk"),
        ("SIGUSR1", "SIGUSR1: stopping after this chunk"),
    ],
)
def test_other_signals_save_too(name, how, tmp_path):
    """A scheduler may repeat its warning. The exit code is the one that a shell gives for the signal."""
    out, number = tmp_path / "stopped", getattr(signal, name)
    with training_slowly(out, pause=1.0) as process:
        process.send_signal(number)
        said = "".join(process.stderr.readline() for _ in range(3))
        if number != signal.SIGTERM:
            process.send_signal(number)
        process.wait(timeout=20)
        said += process.stderr.read()
    assert f"{how}\n" in said
    assert f"jaxrl: stopped; continue with: jaxrl resume {out}\n" in said
    assert process.returncode == 128 + number


CLOSED_TERMINAL = """
import os, pathlib, pty, sys, time
process, terminal = pty.fork()
if process == 0:
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
while not list(pathlib.Path(sys.argv[2]).glob("checkpoints/*.json")):
    time.sleep(0.02)
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def test_a_terminal_that_closes_ends_it_in_good_order(tmp_path):
    """Closing one end of a pseudo-terminal sends SIGHUP to the process at the other end."""
    out = tmp_path / "stopped"
    code = SLOW_STUDY.replace("STUDY", COMMANDS["q_learning"]).replace("OUT", repr(str(out)))
    command = [sys.executable, "-c", CLOSED_TERMINAL, code.replace("PAUSE", "1"), str(out)]
    assert subprocess.run(command, check=False, timeout=120).returncode == 128 + signal.SIGHUP
    assert (resume(out).runs.status == "complete").all()


def test_a_signal_that_is_ignored_or_handled_stays_so(tmp_path):
    """nohup ignores SIGHUP."""
    numbers, handled = (signal.SIGHUP, signal.SIGUSR1), []
    before = [
        signal.signal(number, handler)
        for number, handler in zip(numbers, (signal.SIG_IGN, lambda *_: handled.append(1)), strict=True)
    ]

    def send(_):
        for number in numbers:
            os.kill(os.getpid(), number)

    try:
        results = trained("q_learning", tmp_path / "whole", callbacks=[send])
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert (results.runs.status == "complete").all()
    assert handled


def test_ctrl_c_twice_stops_at_once(whole, tmp_path):
    """In the middle of a chunk that takes a minute. Until then no other process may write the folder."""
    out = tmp_path / "stopped"
    with training_slowly(out, pause=60.0) as process:
        for second in (lambda: trained("q_learning", out), lambda: resume(out)):
            with pytest.raises(
                InputError, match=r"another process is writing .*stopped; wait until it is done"
            ):
                second()
        process.send_signal(signal.SIGINT)
        assert "stopping after this chunk" in "".join(process.stderr.readline() for _ in range(3))
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        said = process.stderr.read()
    assert f"jaxrl: stopped at once; continue with: jaxrl resume {out}\n" in said
    assert process.returncode == 130
    assert_same(resume(out), whole)


def test_a_complete_study_is_only_read(whole, capsys):
    before = (whole.path / "manifest.json").read_bytes()
    resumed = resume(whole.path)
    assert "complete: nothing to resume" in " ".join(capsys.readouterr().err.split())
    assert resumed.curves.equals(whole.curves)
    assert (whole.path / "manifest.json").read_bytes() == before


def test_further_seeds_leave_the_others_alone(copy, whole, tmp_path):
    states = {file: file.read_bytes() for file in copy.path.glob("checkpoints/**/*") if file.is_file()}
    resumed = resume(copy.path, more_seeds="100:104")
    assert states == {file: file.read_bytes() for file in states}
    assert resumed.runs.seed.to_list() == [0, 1, 2, 3, 4, 100, 101, 102, 103]
    assert resumed.curves[resumed.curves.run < 5].equals(whole.curves)
    alone = trained("q_learning", tmp_path / "alone", seeds="100:104")
    added = resumed.curves[resumed.curves.run >= 5].reset_index(drop=True)
    assert added.assign(run=added.run - 5).astype({"run": "int32"}).equals(alone.curves)
    assert_same(resume(copy.path), resumed)


def test_further_steps_go_on_where_the_runs_ended(copy, whole):
    """With a schedule that depends on the total: exploration falls anew towards its end."""
    resumed = resume(copy.path, steps=1_280)
    curves = resumed.curves[resumed.curves.step <= 640].reset_index(drop=True)
    assert curves.equals(whole.curves)
    assert resumed.metric("eval_return").columns.to_list() == list(range(0, 1_281, 64))
    assert set(resumed.runs.steps) == {1_280}
    for extended in (resume(copy.path, steps=1_920), resume(copy.path, more_seeds=[8])):
        again = extended.curves[(extended.curves.step <= 1_280) & (extended.curves.run < 5)]
        assert again.reset_index(drop=True).equals(resumed.curves)
    assert extended.metric("eval_return").columns.max() == 1_920
    assert extended.metric("eval_return").notna().all(axis=None)


def test_extensions_that_do_not_fit(copy):
    with pytest.raises(InputError, match="the study has seed 3 already"):
        resume(copy.path, more_seeds="3:9")
    with pytest.raises(InputError, match=r"the runs have 640 steps; extend them to .* or more, got 640"):
        resume(copy.path, steps=640)
    with pytest.raises(InputError, match="steps must be at most 2147483647"):
        resume(copy.path, steps=5 * 10**9)
    assert load(copy.path).curves.equals(copy.curves)


def test_unfinished_files_of_killed_processes_are_removed(copy):
    names = ("manifest.json", "runs.parquet", "checkpoints/batch-00000.json", "notes")
    left = [copy.path / f"{name}.{'0f' * 8}.tmp" for name in names]
    for path in left:
        path.touch()
    resume(copy.path, more_seeds=1)
    assert [path.name for path in left if path.exists()] == [left[-1].name]  # it is none of ours


def test_a_damaged_checkpoint_is_named_and_can_be_trained_again(copy, whole):
    (file,) = copy.path.glob("checkpoints/batch-00001-*")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(
        InputError,
        match=r"batch 1 of .* \(runs 3 to 4\) is damaged: .*; train it again with: jaxrl resume .* --rerun 1",
    ):
        copy.policy(run=4)
    copy.policy(run=0)
    assert_same(resume(copy.path, rerun=1), whole)
    with pytest.raises(InputError, match=r"rerun must be a batch in \[0, 1\] or all, got 2"):
        resume(copy.path, rerun=2)


def test_a_missing_checkpoint_is_damage_with_a_remedy(copy, whole):
    (copy.path / "checkpoints" / "batch-00001.json").unlink()
    with pytest.raises(
        InputError, match=r"batch 1 of .* is damaged: its checkpoint is missing; .* --rerun 1"
    ):
        copy.policy(run=4)
    assert_same(resume(copy.path, rerun=1), whole)
    next(copy.path.glob("checkpoints/batch-00001-*")).unlink()
    with pytest.raises(InputError, match=r"batch 1 of .* is damaged: .* is missing; .* --rerun 1"):
        copy.policy(run=4)


@pytest.fixture
def stopped(whole, tmp_path, crashing):
    """Batch 0 complete, batch 1 never begun."""
    crashing("save", len(whole.metric("eval_return").columns) + 1)
    with pytest.raises(Crash):
        trained("q_learning", tmp_path / "stopped")
    return tmp_path / "stopped"


@pytest.mark.parametrize("damage", [Path.unlink, lambda part: part.write_bytes(part.read_bytes()[:-40])])
def test_a_lost_part_of_the_curves_is_found_before_anything_is_trained(damage, stopped, whole, monkeypatch):
    damage(stopped / "parts" / "00000-000000000000640.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "save", None)
        with pytest.raises(
            InputError, match=r"batch 0 of .* \(runs 0 to 2\) is damaged: .*; .* --rerun 0$"
        ) as error:
            resume(stopped)
    assert "arquet magic" not in str(error.value)
    assert_same(resume(stopped, rerun=0), whole)


def test_the_plan_comes_first(stopped, capsys):
    resume(stopped)
    assert "5 runs, 1 program, 2 batches of width 3, memory about" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize("damage", [Path.unlink, lambda table: table.write_bytes(b"PAR1 but no more")])
def test_the_table_of_runs_is_written_again(damage, copy, whole, capsys):
    damage(copy.path / "runs.parquet")
    assert_same(resume(copy.path), whole)
    assert "runs.parquet was missing or altered: written again" in " ".join(capsys.readouterr().err.split())
    damage(copy.path / "runs.parquet")
    assert resume(copy.path, more_seeds=[9]).runs.seed.to_list() == [0, 1, 2, 3, 4, 9]


def test_a_count_of_further_seeds_is_that_many_after_the_largest(copy):
    assert resume(copy.path, more_seeds=2).runs.seed.to_list() == [0, 1, 2, 3, 4, 5, 6]
    assert resume(copy.path, more_seeds="1").runs.seed.to_list()[-1] == 7


def test_further_seeds_may_be_any_integers(copy):
    assert resume(copy.path, more_seeds=np.array([5, 6])).runs.seed.to_list() == [0, 1, 2, 3, 4, 5, 6]
    assert resume(copy.path, more_seeds=iter((8,))).runs.seed.to_list()[-1] == 8
    with pytest.raises(InputError, match=r"seeds must be .* at least one, got "):
        resume(copy.path, more_seeds=[])


def test_an_extension_that_was_interrupted_is_finished_without_its_options(copy, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "save", crash)
        with pytest.raises(Crash):
            resume(copy.path, more_seeds="100:102", steps=1_280)
    remedy = f"or finish the study as it is: jaxrl resume {re.escape(str(copy.path))}$"
    for again in ({"more_seeds": "100:102"}, {"steps": 1_280}):
        with pytest.raises(InputError, match=remedy):
            resume(copy.path, **again)
    assert resume(copy.path).runs.seed.to_list() == [0, 1, 2, 3, 4, 100, 101]


def test_an_extension_that_ends_between_its_tables_is_finished(copy, crashing):
    """The new table of curves is written, and the manifest had the hash of the one before."""
    crashing("_final_runs", 1)
    with pytest.raises(Crash):
        resume(copy.path, more_seeds=[100])
    curves = (copy.path / "curves.parquet").read_bytes()
    resumed = resume(copy.path)
    assert resumed.runs.seed.to_list() == [0, 1, 2, 3, 4, 100]
    assert (copy.path / "curves.parquet").read_bytes() == curves


def test_an_altered_state_is_found_by_its_hash(copy):
    file = copy.path / "checkpoints" / "batch-00000.json"
    progress = json.loads(file.read_text())
    progress["hashes"]["1"] = "0" * 64
    file.write_text(json.dumps(progress))
    with pytest.raises(InputError, match=r"batch 0 of .* is damaged: its state was altered"):
        copy.policy(run=0)


def test_an_unreadable_note_of_progress(copy):
    (copy.path / "checkpoints" / "batch-00000.json").write_text("{")
    with pytest.raises(InputError, match=r"is damaged: .*batch-00000.json cannot be read"):
        copy.policy(run=0)


@pytest.mark.parametrize(
    "changes",
    [{"failed": []}, {"iteration": "5"}, {"hashes": ["0"]}, {"seconds": {}}, {"files": None}],
    ids=str,
)
def test_a_note_of_progress_with_values_of_other_types(changes, copy):
    file = copy.path / "checkpoints" / "batch-00000.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(InputError, match=r"is damaged: .*batch-00000.json cannot be read; .* --rerun 0"):
        copy.policy(run=0)


@pytest.mark.parametrize("name", ["runs.parquet", "curves.parquet"])
def test_an_altered_table_is_found_by_its_hash(copy, name):
    table = pd.read_parquet(copy.path / name)
    table.iloc[::-1].to_parquet(copy.path / name, index=False)
    with pytest.raises(
        InputError, match=rf"{name} was altered or cut short: its hash is not the recorded one"
    ):
        load(copy.path)


def test_all_batches_can_be_trained_again(copy, whole):
    (copy.path / "curves.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(
        InputError, match=r"was altered or cut short: .*; train all batches again with: jaxrl"
    ):
        resume(copy.path, more_seeds=[9])
    (copy.path / "curves.parquet").unlink()
    with pytest.raises(InputError, match=r"curves.parquet is missing; train all batches again with: jaxrl"):
        resume(copy.path, rerun=0)
    assert_same(resume(copy.path, rerun="all"), whole)


def test_another_environments_code_is_refused(copy, monkeypatch):
    monkeypatch.setattr(inspect, "getsource", lambda _: "class GridWorld: ...")
    with pytest.raises(InputError, match=r"was trained with the code of GridWorld-v0 '.*', here it is '"):
        resume(copy.path, more_seeds=[9])


def test_after_the_second_ctrl_c_nothing_more_is_written(tmp_path):
    folder = Folder(tmp_path)
    folder.abandon()
    with pytest.raises(KeyboardInterrupt):
        folder.forget_curves()


def test_other_versions_are_refused_unless_forced(copy):
    manifest = json.loads((copy.path / "manifest.json").read_text())
    manifest["machine"]["jaxlib"] = "0.1"
    (copy.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"was trained with jaxlib '0\.1', here it is .*--force continues"):
        resume(copy.path, more_seeds=[9])
    forced = resume(copy.path, more_seeds=[9], force=True)
    (note,) = forced.manifest["resumed"]
    assert note["differing"]["jaxlib"][0] == "0.1"
    assert note["batches"] == [2]
    assert len(forced.runs) == 6


@contextlib.contextmanager
def other_code():
    """As if the environments and algorithms were others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "code_hash", lambda _: "0" * 16)
        yield


def test_what_a_study_began_with_stays_though_a_resume_was_forced(copy):
    with other_code():
        resume(copy.path, more_seeds=[9], force=True)
        with pytest.raises(
            InputError, match=r"was trained with the code of GridWorld-v0 '.*', here it is '0000"
        ):
            resume(copy.path, more_seeds=[10])
    manifest = resume(copy.path, more_seeds=[10]).manifest
    assert manifest["machine"] == copy.manifest["machine"]
    assert manifest["study"]["environments"] == copy.manifest["study"]["environments"]
    forced, later = manifest["resumed"]
    names = ["the code of GridWorld-v0", "the code of q_learning"]
    assert [*forced["differing"]] == names
    assert later["differing"] == {}
    assert [note["batches"] for note in (forced, later)] == [[2], [3]]


def test_a_study_that_is_all_trained_again_begins_here_and_now(copy):
    with other_code():
        manifest = resume(copy.path, rerun="all", force=True).manifest
        assert {entry["code"] for entry in manifest["study"]["algorithms"]} == {"0" * 16}
        assert manifest["resumed"] == []
        assert manifest["created"] == copy.manifest["created"]
        assert len(resume(copy.path, more_seeds=[9]).runs) == 6
    with pytest.raises(InputError, match="was trained with the code of GridWorld-v0 '0000"):
        resume(copy.path, more_seeds=[10])


def test_a_full_disk_loses_nothing(whole, tmp_path, monkeypatch):
    write_table, calls = pq.write_table, []

    def full_for_a_while(*arguments, **keywords):
        calls.append(1)
        if len(calls) > 8:
            raise OSError(28, "No space left on device")
        return write_table(*arguments, **keywords)

    monkeypatch.setattr(pq, "write_table", full_for_a_while)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        trained("q_learning", tmp_path / "full")
    monkeypatch.undo()
    assert_same(resume(tmp_path / "full"), whole)


def test_a_folder_that_may_not_be_written(tmp_path):
    out = tmp_path / "below" / "study"
    (tmp_path / "below").write_text("a file")
    with pytest.raises(InputError, match=r"cannot be written"):
        trained("q_learning", out)


@pytest.mark.skipif(os.name == "nt", reason="locks of another kind")
def test_the_lock_ends_with_the_study(whole):
    with filelock.FileLock(whole.path / ".lock", timeout=0):
        pass
