"""Workers of a real Ray cluster on this machine: the bits are those of one process, whoever dies."""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from jaxrl import InputError, resume, train
from jaxrl.cli import main
from jaxrl.run.on_ray import cluster_for
from tests.lanes import small
from tests.run.test_resume import assert_same
from tests.run.test_work import STUDY, altered, assert_whole


def test_what_names_no_workers(whole, tmp_path, capsys):
    for workers in ("rays", "ray:0", "ray:", "ray:x", "8", "", 8):
        with pytest.raises(InputError, match=rf"workers must be ray or ray:N .*, got {workers!r}$"):
            train(*small("q_learning"), out=tmp_path / "study", workers=workers, **STUDY)
    with pytest.raises(SystemExit) as end:
        main(["resume", str(whole.path), "--rerun", "0", "--workers", "rays"])
    assert end.value.code == 2
    assert "workers must be ray or ray:N" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_without_ray_its_extra_is_named(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"needs Ray, which is not installed: pip install -e '\.\[ray\]'"):
        train(*small("q_learning"), out=tmp_path / "study", workers="ray", **STUDY)
    assert not [*tmp_path.iterdir()]


def test_a_cluster_that_does_not_answer(tmp_path, monkeypatch):
    """Ray raises plain exceptions, among others."""

    def init(**_):
        raise Exception("it has another version\nof Ray")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setattr("jaxrl.run.on_ray._imported", lambda: ray)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(
        InputError, match=r"^no Ray cluster answers at 10\.0\.0\.1:6379: it has another version$"
    ):
        train(*small("q_learning"), out=tmp_path / "study", workers="ray", **STUDY)


def test_a_cluster_without_cores(tmp_path, monkeypatch):
    ray = SimpleNamespace(is_initialized=lambda: True, cluster_resources=lambda: {"CPU": 0.0, "memory": 1e9})
    monkeypatch.setattr("jaxrl.run.on_ray._imported", lambda: ray)
    for workers in ("ray", "ray:2"):
        with pytest.raises(InputError, match="no worker can start: the Ray cluster has no cores"):
            train(*small("q_learning"), out=tmp_path / "study", workers=workers, **STUDY)
    assert not [*tmp_path.iterdir()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(*small("q_learning"), out=tmp_path_factory.mktemp("study") / "whole", **STUDY)


@pytest.fixture(scope="module")
def ray():
    """A cluster of two cores, which the tests share."""
    module = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setattr("jaxrl.run.on_ray.count_cores", lambda: 2)
        with cluster_for("ray"):
            yield module


def workers_of(process):
    """The processes of the workers that a driver has started."""
    found = []
    for each in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += [each] if "ray::Worker" in " ".join(each.cmdline()) else []
    return found


@pytest.mark.usefixtures("ray")
def test_a_worker_that_is_killed_is_replaced(whole, tmp_path):
    steps, killed = [], []

    def kill(report):
        steps.append((report.runs[0].id, report.step))
        if not killed:
            killed.append(workers_of(psutil.Process())[0])
            killed[0].kill()

    options = {"workers": "ray:2", "callbacks": [kill], "checkpoint_every": 0.0}
    assert_whole(train(*small("q_learning"), out=tmp_path / "study", **options, **STUDY), whole)
    assert sorted(steps) == [(run, step) for run in (0, 3, 6) for step in range(0, 641, 64)]
    with pytest.raises(InputError, match="workers must be at most the 2 cores of the Ray cluster, got 3"):
        train(*small("q_learning"), out=tmp_path / "other", workers="ray:3", **STUDY)
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("ray")
def test_a_worker_on_another_machine_refuses_what_others_began(whole, tmp_path):
    """The study was stopped by a callback. The driver itself may run on any machine."""
    out = tmp_path / "study"
    options = {"workers": "ray:1", "callbacks": [lambda report: report.step == 320]}
    with pytest.raises(
        KeyboardInterrupt, match=r"^stopped; continue with: jaxrl resume .*study --workers ray:1$"
    ):
        train(*small("q_learning"), out=out, **options, **STUDY)
    device = json.loads((out / "manifest.json").read_text())["machine"]["device"]
    altered(out, device="A 9000")
    with pytest.raises(
        InputError, match=r"worker on host .*: .* was trained with device 'A 9000', here it is '"
    ):
        resume(out, workers="ray:1")
    altered(out, device=device)
    assert_whole(resume(out), whole)


DRIVER = """
from jaxrl import train
from tests.lanes import small
train(*small("q_learning"), out=OUT, workers="ray:1", checkpoint_every=0.0, **STUDY)
"""


@pytest.mark.usefixtures("ray")
def test_a_driver_that_is_killed_is_started_again(tmp_path):
    study, out = STUDY | {"steps": 12_800}, tmp_path / "study"
    code = DRIVER.replace("OUT", repr(str(out))).replace("STUDY", repr(study))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 200
        while not [*out.glob("checkpoints/*.json")]:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert json.loads((out / "manifest.json").read_text())["status"] == "running"
    assert_same(resume(out, workers="ray:1"), train(*small("q_learning"), out=tmp_path / "whole", **study))
