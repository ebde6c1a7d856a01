"""The report on a study that is not complete, and the one that is written while a study is trained."""

import pytest

from envs import GridWorld
from jaxrl import InputError, grid, plan, resume, write_report
from jaxrl.cli.commands import main
from jaxrl.report import watch_report
from jaxrl.store.results import load_so_far
from tests.learners import Diverging

SETTINGS = {"seeds": 3, "steps": 400, "evaluate_every": 100, "evaluation_episodes": 2}


def stop(_):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """The page whenever the watcher waits and at the end, and the results of a study that was stopped."""
    patch = pytest.MonkeyPatch()
    patch.setattr("jaxrl.report.static.save", lambda *_: None)  # the figures as files take most of the time
    folder = tmp_path_factory.mktemp("watched") / "study"
    plan(grid(Diverging(), lasts=[100, 1_000]), GridWorld(size=3), out=folder, width=6, **SETTINGS)
    pages, so_far = [], []

    def train_half():
        def seen(report):
            if report.step == 200:
                with pytest.raises(KeyboardInterrupt):
                    watch_report(folder, every=5, wait=stop)
                pages.append((folder / "report.html").read_text())
            return report.step >= 200

        with pytest.raises(KeyboardInterrupt):
            resume(folder, callbacks=[seen], checkpoint_every=0)

    happenings = iter([train_half, lambda: so_far.append(load_so_far(folder)), lambda: resume(folder)])

    def wait(seconds):
        assert seconds == 5
        page = folder / "report.html"
        pages.append(page.read_text() if page.exists() else "")
        next(happenings)()

    pages.append(watch_report(folder, every=5, wait=wait).read_text())
    patch.undo()
    return pages, so_far[0]


def test_it_waits_for_the_first_save_and_ends_with_the_study(watched):
    before, running, stopped, still, complete = watched[0]
    assert before == ""
    assert "The study <b>study</b> is running: 600 of 2,400 environment steps (25%) were saved" in running
    assert "<b>study</b> is unfinished: 1,200 of 2,400 environment steps (50%)" in stopped
    assert "No process trains it: <b>jaxrl resume</b> finishes it." in stopped
    assert still == stopped
    for page in (running, stopped):
        assert '<meta http-equiv="refresh" content="5">' in page
        assert "mean so far" in page
        assert "What the runs show" not in page
        assert "Comparisons" not in page
    assert "unfinished" not in complete.partition("How it was made")[0]
    for words in ("What the runs show", "Comparisons", "final mean"):
        assert words in complete
    assert 'http-equiv="refresh"' not in complete


def test_runs_that_failed_so_far_are_named(watched):
    assert load_so_far(watched[1].path).runs.status.to_list() == ["failed"] * 3 + ["complete"] * 3
    assert watched[1].runs.status.to_list() == ["failed"] * 3 + ["running"] * 3


def test_the_report_of_an_unfinished_study_names_the_option(tmp_path, capsys):
    plan(Diverging(), GridWorld(size=3), out=tmp_path, **SETTINGS)
    with pytest.raises(InputError, match=f"see it so far with: jaxrl report {tmp_path} --watch$"):
        write_report(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        watch_report(tmp_path, wait=stop)
    assert capsys.readouterr().out.endswith(
        f"nothing of {tmp_path} was saved so far; the page comes with the first save\n"
    )
    with pytest.raises(SystemExit):
        main(["report", str(tmp_path), "--watch", "--every", "0"])
    assert "--every must be in [1, 86400] seconds, got 0" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(tmp_path), "--every", "5"])
    assert capsys.readouterr().err == "jaxrl: --every needs --watch\n"
