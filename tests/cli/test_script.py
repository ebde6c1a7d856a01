"""The options that scripts of experiments share."""

import pytest

from jaxrl import InputError
from jaxrl.cli.script import QUICK_SEEDS, Options, writable


def size(seeds=None, steps=None, quick=False):
    return Options(seeds, steps, None, quick).size(seeds=64, steps=200_000, evaluations=20)


def test_without_options_a_study_has_its_own_size():
    assert size() == {"seeds": 64, "steps": 200_000, "evaluate_every": 10_000}


def test_options_replace_the_size_but_not_the_number_of_evaluations():
    assert size(seeds="5:9") == {"seeds": "5:9", "steps": 200_000, "evaluate_every": 10_000}
    assert size(steps=4_000) == {"seeds": 64, "steps": 4_000, "evaluate_every": 200}
    assert size(steps=7) == {"seeds": 64, "steps": 7, "evaluate_every": 1}


def test_quick_is_small_unless_the_other_options_say_otherwise():
    assert size(quick=True) == {"seeds": QUICK_SEEDS, "steps": 10_000, "evaluate_every": 500}
    assert size("2", 40, quick=True) == {"seeds": "2", "steps": 40, "evaluate_every": 2}


def test_quick_results_are_apart_unless_a_folder_is_given():
    assert Options(None, None, None, False).folder("study") == "runs/study"
    assert Options(None, None, None, True).folder("study") == "runs/study-quick"
    assert Options(None, None, "here", True).folder("study") == "here"


def test_a_file_is_writable_before_the_work_begins(tmp_path):
    assert writable(None) is None
    kept = tmp_path / "kept.json"
    kept.write_text("before")
    assert writable(str(kept)) == kept
    assert kept.read_text() == "before"
    with pytest.raises(InputError, match=r"x\.json cannot be written: No such file or directory"):
        writable(str(tmp_path / "nowhere" / "x.json"))
