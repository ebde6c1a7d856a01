"""Studies in object stores: the bits are those of a local folder, whatever the store and other workers do."""

import collections
import contextlib
import json
import os
import random
import sys
import tempfile
import time

import pytest
from obstore import exceptions
from obstore.store import LocalStore, MemoryStore

from jaxrl import InputError, compare, export, load, plan, resume, train, work, write_report
from jaxrl.analysis.live import log_to
from jaxrl.cli import main
from jaxrl.report import watch_report
from jaxrl.run.reproduce import verify
from jaxrl.store import objects
from jaxrl.store.working_copy import opened
from jaxrl.study.plan import make_batches
from tests.lanes import small
from tests.learners import Cloning, registered
from tests.run.test_resume import assert_same

STUDY = {"seeds": 8, "steps": 640, "evaluate_every": 64, "evaluation_episodes": 2, "width": 3}
URL = "memory://bucket/lakes"
SECRET = "AKIASECRETSECRET"
RECORD = "checkpoints/batch-00000.json"


class Store:
    """A store that does something before each request: `before(kind, name)` may raise."""

    def __init__(self, store, before=lambda *_: None):
        self.store, self.before = store, before

    def __getattr__(self, kind):
        def request(name="", *arguments, **options):
            self.before(kind, name)
            return getattr(self.store, kind)(*([name] if name else []), *arguments, **options)

        return request

    @property
    def names(self):
        return {each["path"] for chunk in self.store.list() for each in chunk}

    def read(self, name):
        return bytes(self.store.get(name).bytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(*small("q_learning"), out=tmp_path_factory.mktemp("study") / "whole", **STUDY)


@pytest.fixture
def store(monkeypatch, tmp_path):
    """The empty store at URL. What commands write goes to the current folder."""
    made = Store(MemoryStore())
    monkeypatch.setattr(objects, "_memory", lambda _: made)
    monkeypatch.setattr(objects, "PAUSES", ())
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def planned(store):
    assert plan(*small("q_learning"), out=URL, **STUDY) == URL
    return store


def assert_whole(store, whole):
    results = load(URL)
    assert_same(results, whole)
    assert store.read("curves.parquet") == (whole.path / "curves.parquet").read_bytes()
    left = {name.partition("-0000000640")[0] for name in store.names}
    batches = {f"checkpoints/batch-{each:05d}{end}" for each in range(3) for end in ("", ".json")}
    assert left == batches | {"manifest.json", "plan.json", "runs.parquet", "curves.parquet"}
    return results


def stopping_at(step):
    return [lambda report: report.step == step]


def once(action):
    """A callback that does something when it is called for the first time."""
    waiting = [action]
    return lambda _: waiting.pop()() and False if waiting else False


def ended(arguments, capsys):
    """The exit code of a command and what it says."""
    with pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_two_shards(planned, whole, capsys):
    assert planned.names == {"plan.json"}
    assert work(URL, shard=(1, 2)) is None
    assert f"shard 1/2 of {URL}: 1 of 3 batches" in capsys.readouterr().err
    code, said, _ = ended(["status", URL], capsys)
    assert (code, said.splitlines()[0]) == (1, "3 batches: 1 done, 0 begun, 2 waiting")
    assert_same(work(URL, shard=(0, 2)), whole)
    code, said, _ = ended(["status", URL], capsys)
    assert (code, said.splitlines()[-1]) == (0, "complete")
    results = assert_whole(planned, whole)
    assert repr(results) == f"Results('{URL}', 8 runs)"
    assert len(work(URL, shard=(1, 2)).runs) == 8  # it only reads


def test_train_and_all_that_reads(store, whole, tmp_path, capsys):
    for said in ("memory", "complete: read, not trained"):
        results = train(*small("q_learning"), out=URL, **STUDY)
        assert_same(results, whole)
        assert said in capsys.readouterr().err
    there = store.names
    assert write_report(URL).resolve() == tmp_path / "report.html"
    assert "lakes" in (tmp_path / "report.html").read_text().partition("</title>")[0]
    two = train(*small("q_learning"), out=tmp_path / "other", **STUDY | {"seeds": "8:16"})
    compare([URL, two.path])
    export(URL, "rliable")
    assert {"compare.csv", "rliable.npz"} <= {file.name for file in tmp_path.iterdir()}
    assert all(each.acceptable for each in verify(results, 1))
    assert store.names == there


def test_a_report_and_a_log_while_it_is_trained(planned, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        work(URL, shard=(0, 2), callbacks=stopping_at(320), checkpoint_every=0.0)
    page = watch_report(URL, wait=lambda _: work(URL))
    assert page.resolve() == tmp_path / "report.html"
    assert "report.html shows " in capsys.readouterr().out
    assert "manifest.json" in planned.names
    out = "memory://bucket/logged"
    planned.store = MemoryStore()
    with log_to("tensorboard", out) as log:
        train(*small("q_learning"), out=out, callbacks=[log], **STUDY)
    assert [*tmp_path.glob("tensorboard/*/*/mean/*")]


def test_a_study_that_was_stopped_is_finished_elsewhere(planned, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt, match=rf"^stopped; continue with: jaxrl work {URL} --shard 0/2$"):
        work(URL, shard=(0, 2), callbacks=stopping_at(320), checkpoint_every=0.0)
    assert any("-0000000320-" in name for name in planned.names)
    assert not [*tmp_path.iterdir()]  # the working copy is gone
    assert work(URL, shard=(0, 2)) is None
    work(URL)
    assert_whole(planned, whole)


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_workers_that_train_the_same_batches_agree(every, planned, whole):
    """The second one does everything while the first one is in its first chunk."""
    work(URL, callbacks=[once(lambda: work(URL, checkpoint_every=every))], checkpoint_every=every)
    assert_whole(planned, whole)


def test_a_worker_with_other_bits_is_named_and_changes_nothing(planned, whole):
    def second():
        work(URL)
        planned.store.put(RECORD, planned.read(RECORD).replace(whole_hash.encode(), b"0" * 64))

    batch = make_batches(whole.study, STUDY["width"])[0]
    whole_hash = opened(whole.path).progress(batch).hashes["1"]
    with pytest.raises(
        InputError, match=rf"two workers have trained batch 0 of {URL}, and the state of run 1"
    ):
        work(URL, callbacks=[once(second)])
    assert json.loads(planned.read(RECORD))["hashes"]["1"] == "0" * 64


def test_requests_that_fail_at_random_lose_nothing(planned, whole, monkeypatch):
    """Some of them had an effect all the same. A worker that ends is started again."""
    draw = random.Random(0)

    def before(kind, name):
        if kind != "list" and draw.random() < 0.03:
            if kind == "put" and not name.endswith("curves.parquet") and draw.random() < 0.5:
                lost.append(name)
                return
            failures.append(kind)
            raise exceptions.GenericError(f"{SECRET}: error sending request")

    put = planned.store.put

    class Losing(Store):
        """A store whose answer to some puts is lost."""

        def put(self, name, *arguments, **options):
            before("put", name)
            done = put(name, *arguments, **options)
            if lost:
                lost.clear()
                raise exceptions.GenericError("timed out")
            return done

    failures, lost = [], []
    monkeypatch.setattr(objects, "_memory", lambda _: Losing(planned.store, before))
    for _ in range(100):
        with contextlib.suppress(InputError):
            if work(URL, checkpoint_every=0.0):
                break
    assert len(failures) > 3
    monkeypatch.setattr(objects, "_memory", lambda _: planned)
    assert_same(load(URL), whole)  # the last failure may have left objects that nobody needs


def test_a_save_is_tried_again(planned, whole, monkeypatch):
    monkeypatch.setattr(objects, "PAUSES", (0.0, 0.0))
    tries = collections.Counter()

    def before(kind, name):
        tries[name] += kind == "put"
        if kind == "put" and tries[name] % 3:
            raise exceptions.GenericError("error sending request")

    planned.before = before
    assert_same(work(URL), whole)


@pytest.mark.parametrize("fatal", [RECORD, "curves.parquet", "manifest.json"])
def test_a_worker_that_dies_before_an_object(fatal, planned, whole):
    """The manifest is put when the study is bound and when it is complete; here the worker dies at the end."""

    def before(kind, name):
        if (
            kind == "put"
            and name == fatal
            and (fatal != "manifest.json" or "curves.parquet" in planned.names)
        ):
            raise MemoryError

    planned.before = before
    with pytest.raises(MemoryError):
        work(URL)
    planned.before = lambda *_: None
    assert (fatal == RECORD) != (RECORD in planned.names)
    work(URL)
    assert_whole(planned, whole)


def test_two_workers_finish_at_the_same_time(planned, whole):
    def before(kind, name):
        if kind == "get" and name.startswith("parts/"):
            planned.before = lambda *_: None
            work(URL)

    planned.before = before
    assert_same(work(URL), whole)
    assert_whole(planned, whole)


def test_a_state_that_was_cut_short_is_named(planned, capsys):
    work(URL)
    (state,) = [name for name in planned.names if name.startswith("checkpoints/batch-00000-")]
    planned.store.put(state, planned.read(state)[:-9])
    code, said, _ = ended(["verify", URL, "--runs", "1"], capsys)
    assert (code, "saved states: 2 of 3 match their hashes" in said) == (1, True)
    assert f"batch 0 of {URL} (runs 0 to 2) is damaged: {URL}/{state} was altered or cut short" in said
    assert f"train it again with: jaxrl resume {URL} --rerun 0\n" in said
    assert all(each.acceptable for each in verify(resume(URL, rerun=0), 1))


def test_curves_that_were_cut_short_are_not_joined(planned, whole):
    assert work(URL, shard=(0, 3)) is None
    (part,) = [name for name in planned.names if name.startswith("parts/")]
    planned.store.put(part, planned.read(part)[:-9])
    with pytest.raises(
        InputError, match=rf"batch 0 of {URL} \(runs 0 to 2\) is damaged: {URL}/{part} cannot"
    ):
        work(URL)
    resume(URL, rerun=0)
    assert_whole(planned, whole)


@pytest.mark.usefixtures("store")
def test_a_study_grows(tmp_path):
    train(*small("q_learning"), out=URL, **STUDY)
    grown = resume(URL, more_seeds=2)
    local = train(*small("q_learning"), out=tmp_path / "grown", **STUDY)
    assert_same(grown, resume(local.path, more_seeds=2))


@pytest.mark.usefixtures("planned")
def test_an_unfinished_study_is_finished_by_work_alone():
    with pytest.raises(InputError, match=rf"{URL} may be in training elsewhere; .* jaxrl work {URL}$"):
        resume(URL)
    with pytest.raises(
        InputError, match=rf"{URL} holds an unfinished study; finish it with: jaxrl work {URL}, or see"
    ):
        load(URL)
    with pytest.raises(
        InputError, match=rf"{URL} holds this study unfinished; continue with: jaxrl work {URL}$"
    ):
        train(*small("q_learning"), out=URL, **STUDY)


def test_two_plans_never_overwrite_each_other(store, capsys):
    def before(kind, name):
        if (kind, name) == ("put", "plan.json"):
            store.before = lambda *_: None
            plan(*small("q_learning"), out=URL, **STUDY)

    store.before = before
    with pytest.raises(
        InputError, match=rf"{URL} is not empty: another process has just planned a study there"
    ):
        plan(*small("q_learning"), out=URL, **STUDY | {"steps": 1_280})
    assert json.loads(store.read("plan.json"))["study"]["steps"] == 640
    with pytest.raises(InputError, match=rf"{URL} holds another study, which differs in steps"):
        plan(*small("q_learning"), out=URL, **STUDY | {"steps": 1_280})
    plan(*small("q_learning"), out=URL, **STUDY)
    assert f"{URL} holds this study already, planned: it stays as it is" in capsys.readouterr().err
    assert store.names == {"plan.json"}


def test_the_first_worker_binds_the_machine(planned, whole):
    assert work(URL, shard=(0, 2)) is None
    manifest = json.loads(planned.read("manifest.json"))
    assert (manifest["status"], manifest["machine"]) == ("running", whole.manifest["machine"])
    manifest["machine"]["device"] = "A 9000"
    planned.store.put("manifest.json", json.dumps(manifest).encode())
    with pytest.raises(InputError, match=rf"{URL} was trained with device 'A 9000', here it is"):
        work(URL, shard=(1, 2))
    (note,) = work(URL, shard=(1, 2), force=True).manifest["resumed"]
    assert (note["batches"], note["differing"]["device"][0]) == ([1], "A 9000")


def test_a_worker_that_binds_a_little_later_takes_the_manifest_of_the_first(planned):
    def before(kind, name):
        if (kind, name) == ("put", "manifest.json"):
            planned.before = lambda *_: None
            planned.store.put("manifest.json", planned.read("plan.json").replace(b"planned", b"running"))

    planned.before = before
    work(URL)
    assert load(URL).manifest["created"] == json.loads(planned.read("plan.json"))["created"]


def test_shared_arrays(store):
    with registered():
        study = {"seeds": 2, "steps": 60, "evaluation_episodes": 2}
        learner = Cloning(data={"obs": [1, 2, 3], "action": [0, 1, 2]})
        plan(learner, small("q_learning")[1], out=URL, **study)
        assert store.names == {"plan.json", f"shared/{learner.data.hash}.safetensors"}
        assert opened(URL).study().algorithms[0].data.hash == learner.data.hash


def test_a_folder_as_a_store(tmp_path, whole):
    url = tmp_path.as_uri() + "/lakes"
    with pytest.raises(InputError, match=rf"^{url} is not a folder; make it first$"):
        plan(*small("q_learning"), out=url, **STUDY)
    (tmp_path / "lakes").mkdir()
    plan(*small("q_learning"), out=url, **STUDY)
    assert work(url, shard=(0, 2)) is None
    assert_same(work(url, shard=(1, 2)), whole)
    assert_same(load(tmp_path / "lakes"), whole)  # the objects have the names of files


def test_large_objects_come_in_pieces(store, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "PIECE", 100)
    for store.store in (MemoryStore(), LocalStore(tmp_path)):
        content = os.urandom(250)
        store.store.put("large", content)
        assert objects.Objects(URL).fetch("large", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == content
        assert objects.Objects(URL).fetch("missing", tmp_path / "copy") is None


def test_foreign_objects_and_names_that_leave_the_folder_stay_where_they_are(planned):
    for name in ("report.html", "checkpoints/deep/batch-00000.json", "parts/notes.txt"):
        planned.store.put(name, b"mine")
    copy = opened(URL)
    assert {file.name for file in copy.path.rglob("*") if file.is_file()} == {"plan.json", "manifest.json"}
    work(URL)
    assert planned.read("parts/notes.txt") == planned.read("checkpoints/deep/batch-00000.json") == b"mine"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "s4://bucket/lakes",
            "unknown kind of object store 's4': did you mean 's3'? known are az, file, gs,",
        ),
        ("http://host/lakes", "unknown kind of object store 'http': known are az, file, gs, memory, s3"),
        (
            f"s3://me:{SECRET}@bucket/lakes",
            "the URL of a study is s3://BUCKET/FOLDER and no more; credentials",
        ),
        (
            f"s3://bucket/lakes?key={SECRET}",
            "the URL of a study is s3://BUCKET/FOLDER and no more; credentials",
        ),
        (
            "memory://bucket/nothing",
            "memory://bucket/nothing is not a results folder: it has no manifest.json",
        ),
    ],
)
@pytest.mark.usefixtures("store")
def test_bad_urls(url, said, capsys):
    for command in ("work", "status", "report"):
        code, _, error = ended([command, url], capsys)
        if command == "report" and "nothing" in url:
            assert error.startswith(f"jaxrl: {url} holds no study")
        else:
            assert error.startswith(f"jaxrl: {said}")
        assert (code, error.count("\n"), SECRET in error) == (2, 1, False)


def test_an_older_format(planned, capsys):
    planned.store.put("plan.json", planned.read("plan.json").replace(b'"format": 6', b'"format": 5'))
    there = planned.read("plan.json")
    for arguments in (
        ["work", URL],
        ["train", "q_learning", "GridWorld-v0", "--seeds=2", "--steps=64", "--out", URL],
    ):
        code, _, error = ended(arguments, capsys)
        assert (code, f"{URL}/manifest.json has format 5, older than this jaxrl reads" in error) == (2, True)
    assert (planned.names, planned.read("plan.json")) == ({"plan.json"}, there)


FAILURES = [
    (exceptions.PermissionDeniedError("x"), "the credentials in the environment do not allow it"),
    (
        exceptions.GenericError("PUT http://169.254.169.254/token in 1 ms"),
        "the environment has no credentials",
    ),
    (exceptions.GenericError("status code: 404 Not Found: NoSuchBucket"), "there is no such bucket"),
    (exceptions.GenericError("status code: 500 Internal"), "the request failed with status 500"),
    (exceptions.GenericError("HTTP error: error sending request"), "it does not answer"),
    (exceptions.NotSupportedError("x"), "the request failed (NotSupportedError)"),
]


@pytest.mark.parametrize(("failure", "why"), FAILURES)
@pytest.mark.parametrize(("kind", "how"), [("list", "read"), ("put", "written")])
def test_a_store_that_refuses_is_named_without_its_words(failure, why, kind, how, store, capsys):
    def before(requested, _):
        if requested == kind:
            raise type(failure)(f"{failure} https://host/?X-Amz-Signature={SECRET}")

    store.before = before
    study = "--seeds 2 --steps 64 --evaluate-every 32 --evaluation-episodes 2 --plan-only"
    command = ["train", "q_learning", "GridWorld-v0", *study.split(), "--out", URL, "--traceback"]
    code, out, error = ended(command, capsys)
    assert code == 2
    assert error.splitlines()[-1].startswith(f"jaxrl: {URL} cannot be {how}: {why}")
    assert SECRET not in out + error
    assert not store.names


def test_a_dead_endpoint_is_named_within_seconds(monkeypatch, capsys):
    settings = {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": "http://127.0.0.1:1"}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    start = time.monotonic()
    code, out, error = ended(["status", "s3://bucket/lakes", "--traceback"], capsys)
    assert time.monotonic() - start < 15
    assert (code, SECRET in out + error) == (2, False)
    assert error.splitlines()[-1] == "jaxrl: s3://bucket/lakes cannot be read: it does not answer"


def test_an_account_that_is_missing(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InputError, match=r"^az://container/lakes cannot be used: the environment has no"):
        load("az://container/lakes")


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(
        InputError, match=r"needs obstore, which is not installed: pip install -e '.\[objects\]'$"
    ):
        load("s3://bucket/lakes")


def test_other_paths_are_of_this_machine(whole):
    for out in ("s3://bucket/report", URL):
        with pytest.raises(InputError, match=f"a file or a folder of this machine is expected, got {out}"):
            write_report(whole.path, out=out)
