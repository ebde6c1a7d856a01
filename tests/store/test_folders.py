"""Results folders in any place, beside any files, written by several threads, and touched while they grow."""

import contextlib
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from envs import FrozenLake, GridWorld
from jaxrl import (
    InputError,
    compare,
    export,
    grid,
    load,
    plan,
    resume,
    select,
    train,
    work,
    write_report,
)
from jaxrl.algorithms import QLearning
from jaxrl.analysis.export import export_transitions
from jaxrl.analysis.live import log_to
from jaxrl.cli import reading, solving
from jaxrl.cli.commands import main
from jaxrl.cli.script import writable
from jaxrl.environment import shared
from jaxrl.registry import parse
from jaxrl.run.reproduce import verify, write_gif
from jaxrl.store.folder import Folder
from jaxrl.store.policy import Policy
from jaxrl.store.results import load_so_far
from jaxrl.store.settings_file import read_settings, write_settings

SETTINGS = {"seeds": 3, "steps": 320, "evaluate_every": 32, "evaluation_episodes": 2, "width": 2}


def trained(out, **changes):
    return train(QLearning(), GridWorld(), out=out, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("study") / "whole")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """The same study in one batch."""
    return trained(tmp_path_factory.mktemp("study") / "wide", width=3)


@pytest.mark.parametrize("name", ["hidden=[64,64]", "[!a]*?{b,c}", "back\\slash", "größe \U0001f600"])
def test_a_folder_may_have_any_name(name, whole, tmp_path):
    """What was written can be read back, also where the name would be a pattern of others."""
    out = tmp_path / name / name
    with pytest.raises(KeyboardInterrupt):
        trained(out, checkpoint_every=0, callbacks=[lambda report: report.step == 160])
    results = resume(out)
    assert results.curves.equals(whole.curves)
    assert all(outcome.acceptable for outcome in verify(results, 1))
    assert len(resume(out, rerun=0, more_seeds=1).runs) == 4
    assert write_report(tmp_path / name).exists()


def test_several_threads_train_at_once():
    """With temporary folders, as in a dashboard or a search."""

    def final(i):
        return train(QLearning(discount=0.9 + i / 100), FrozenLake(), seeds=2, steps=200).final().size

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(final, range(6))] == [2] * 6


def test_several_threads_may_not_train_in_one_folder(tmp_path):
    """One trains. The others are refused, or read what it has trained."""

    def outcome(_):
        try:
            return len(trained(tmp_path / "one").runs)
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        outcomes = [*pool.map(outcome, range(4))]
    assert 3 in outcomes
    for each in outcomes:
        assert each == 3 or "another process is writing" in each or "holds this study unfinished" in each
    assert len(load(tmp_path / "one").runs) == 3


class Tabled(GridWorld):
    table: Mapping = shared()


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, capsys):
    """In every path that is given."""
    for module in (reading, solving):
        monkeypatch.setattr(module, "prepare", lambda: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    algorithms = grid(QLearning(), learning_rate=[0.1, 0.5])
    with log_to("tensorboard", "~/study") as log:
        train(algorithms, GridWorld(), out="~/study", callbacks=[log], **SETTINGS)
    shutil.copytree(tmp_path / "study", tmp_path / "other")
    results = load("~/study")
    resume("~/study", more_seeds=1)
    written = [
        write_report("~/study", out="~/report"),
        *compare("~/study", out="~/compared").files,
        export("~/study", "rliable", out="~/scores.npz"),
        export_transitions("~/study", 0, 5, out="~/transitions.npz"),
        write_gif(results, 0, "~/run.gif"),
        results.policy(0).save("~/policy"),
        write_settings(results.study, "~/study.toml"),
    ]
    assert read_settings("~/study.toml")["steps"] == SETTINGS["steps"]
    assert len(load_so_far("~/study").runs) == len(results.runs) + 2
    assert Policy.load("~/policy").environment == GridWorld()
    select("~/other", seeds=2, out="~/selected")
    plan(algorithms, GridWorld(), out="~/planned", **SETTINGS)
    np.savez(tmp_path / "arrays.npz", a=np.zeros(2))
    assert parse(Tabled(), "table", "~/arrays.npz")["a"].shape == (2,)
    writable("~/table.json")
    with pytest.raises(InputError, match=f"{tmp_path}/nowhere is not a results folder"):
        work("~/nowhere")
    with pytest.raises(InputError, match="study was given twice"):
        compare(["~/study", tmp_path / "study"])
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "GridWorld-v0").symlink_to(tmp_path / "other")
    with pytest.raises(InputError, match=f"{tmp_path}/linked/GridWorld-v0 is a link"):
        select("~/other", seeds=2, out="~/linked")
    for words in (
        ["evaluate", "~/study", "--episodes", "1", "--out", "~/table.csv"],
        ["solve", "GridWorld-v0", "--out", "~/picture.png"],
        ["status", "~/study"],
    ):
        with contextlib.suppress(SystemExit):
            main(words)
    assert "jaxrl: " not in capsys.readouterr().err
    assert [path.parent for path in written[:4]] == [tmp_path / "report", *[tmp_path / "compared"] * 3]
    assert all(path.exists() for path in written)
    assert (tmp_path / "selected" / "GridWorld-v0" / "manifest.json").exists()
    made = ("planned", "study/tensorboard", "table.csv", "table.json", "picture.png")
    assert [name for name in made if not (tmp_path / name).exists()] == []
    assert not (tmp_path / "~").exists()


def test_other_files_may_lie_in_the_folder(whole, tmp_path):
    for name in (".DS_Store", "slurm-1.out", "Thumbs.db", "manifest.json.0123456789abcdef.tmp"):
        (tmp_path / name).write_text("mine")
    assert trained(tmp_path).curves.equals(whole.curves)
    assert (tmp_path / "slurm-1.out").read_text() == "mine"


def test_a_link_to_nothing_is_named(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"link is a link to .*nowhere, which does not exist"):
        trained(tmp_path / "link")
    (tmp_path / "nowhere").mkdir()
    assert len(trained(tmp_path / "link").runs) == 3
    (tmp_path / "log").symlink_to(tmp_path / "missing")
    with pytest.raises(InputError, match="log exists already"):
        export(tmp_path / "link", "tensorboard", out=tmp_path / "log")


def once(folder, step, delete):
    """A callback that deletes something when a batch reaches a step."""

    def callback(report):
        if report.step == step:
            delete(folder)

    return callback


DELETED = {
    "manifest": lambda folder: (folder / "manifest.json").unlink(missing_ok=True),
    "runs": lambda folder: (folder / "runs.parquet").unlink(missing_ok=True),
    "parts": lambda folder: shutil.rmtree(folder / "parts", ignore_errors=True),
    "one part": lambda folder: (folder / "parts" / "00000-000000000000032.parquet").unlink(missing_ok=True),
    "checkpoints": lambda folder: shutil.rmtree(folder / "checkpoints", ignore_errors=True),
}


@pytest.mark.parametrize("what", DELETED)
@pytest.mark.parametrize("every", [0.0, 1e9])
def test_what_is_deleted_while_a_batch_trains_is_written_again(what, every, wide, tmp_path):
    """In the middle, and before the last save."""
    out = tmp_path / "study"
    callbacks = [once(out, step, DELETED[what]) for step in (160, 320)]
    results = trained(out, width=3, checkpoint_every=every, callbacks=callbacks)
    assert results.curves.equals(wide.curves)
    assert results.manifest["study"] == wide.manifest["study"]
    assert all(outcome.acceptable for outcome in verify(results, 3))


def test_a_manifest_that_is_deleted_after_the_last_save_is_written_again(wide, tmp_path, monkeypatch):
    save = Folder.save

    def saved(self, *arguments):
        save(self, *arguments)
        (self.path / "manifest.json").unlink(missing_ok=True)

    monkeypatch.setattr(Folder, "save", saved)
    assert trained(tmp_path / "study", width=3).manifest["study"] == wide.manifest["study"]


def test_a_study_that_is_stopped_after_a_deletion_goes_on(wide, tmp_path):
    def callback(report):
        if report.step == 160:
            DELETED["manifest"](tmp_path / "study")
            DELETED["parts"](tmp_path / "study")
        return report.step == 192

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "study", width=3, checkpoint_every=0, callbacks=[callback])
    assert resume(tmp_path / "study").curves.equals(wide.curves)


def names(folder, below):
    return sorted(path.name for path in (folder / below).iterdir())


def test_a_batch_without_a_checkpoint_has_three_files_under_way_and_two_in_the_end(tmp_path):
    out, counts = tmp_path / "study", []

    def count(report):
        if report.runs[0].id == 2 and report.step == 320:
            counts.extend((len(names(out, "parts")), len(names(out, "checkpoints"))))

    trained(out, width=1, callbacks=[count])
    assert counts == [2, 4]
    assert len(names(out, "checkpoints")) == 6
    assert not (out / "parts").exists()


def test_what_a_save_that_was_not_finished_left_is_removed(wide, tmp_path, monkeypatch):
    """Here the curves and the state of a save whose note was not written."""
    out, write, notes, left = tmp_path / "study", Folder._write_json, [], []

    def crash_at_the_fourth(self, name, values):
        notes.extend(["note"] * name.startswith("checkpoints"))
        if len(notes) == 4:
            raise KeyboardInterrupt
        write(self, name, values)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "_write_json", crash_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            trained(out, width=3, checkpoint_every=0)
    assert names(out, "parts")[-1] == "00000-000000000000096.parquet"
    assert names(out, "checkpoints")[:-1] == [f"batch-00000-{at:010d}.safetensors" for at in (64, 96)]

    def look(_):
        left.append((names(out, "parts")[-1], names(out, "checkpoints")[:-1]))

    results = resume(out, callbacks=[look])
    assert left[0] == ("00000-000000000000064.parquet", ["batch-00000-0000000064.safetensors"])
    assert results.curves.equals(wide.curves)


@pytest.mark.parametrize("pattern", ["batch-00000.json", "batch-00000-*"])
def test_the_state_of_a_finished_batch_that_is_deleted_is_trained_again(pattern, whole, tmp_path):
    """The others are kept."""

    def callback(report):
        if report.runs[0].id == 2 and report.step == 320:
            next((tmp_path / "study" / "checkpoints").glob(pattern)).unlink()

    with pytest.raises(InputError, match=r"batch 0 of .* is missing; train it again with: .* --rerun 0"):
        trained(tmp_path / "study", callbacks=[callback])
    again = []
    results = resume(tmp_path / "study", rerun=0, callbacks=[lambda report: again.extend(report.runs)])
    assert {run.id for run in again} == {0, 1}
    assert results.curves.equals(whole.curves)


@pytest.fixture
def archive(whole, tmp_path):
    """A copy of the study that may not be written."""
    folder = tmp_path / "archive"
    shutil.copytree(whole.path, folder)
    (folder / ".lock").unlink()
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o500 if path.is_dir() else 0o400)
    yield folder
    for path in paths:
        path.chmod(0o700)


def test_a_complete_archive_is_read_reported_and_resumed(archive, whole, tmp_path, monkeypatch):
    """Root may write into any folder, so that an attempt to take the lock fails here too."""
    monkeypatch.setattr("filelock.FileLock", None)
    before = sorted(path.name for path in archive.rglob("*"))
    assert resume(archive).curves.equals(whole.curves)
    assert trained(archive).curves.equals(whole.curves)
    page = write_report(archive, out=tmp_path / "below" / "report")
    assert page == tmp_path / "below" / "report" / "report.html"
    assert (page.parent / "figures").is_dir()
    assert "archive" in page.read_text()
    assert sorted(path.name for path in archive.rglob("*")) == before


def test_the_command_reports_elsewhere(whole, tmp_path, capsys):
    main(["report", str(whole.path), "--out", str(tmp_path / "elsewhere")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "elsewhere" / "report.html")
