"""Environments, algorithms and networks that a script defines and no package registers."""

import importlib.metadata

import pytest

from envs import FrozenLake
from jaxrl import InputError, load, registry, resume, train
from jaxrl.algorithms import QLearning
from jaxrl.config import static
from jaxrl.environment import Wrapper
from jaxrl.store.policy import Policy

SIZE = {"seeds": 2, "steps": 200, "evaluate_every": 100, "evaluation_episodes": 1}


class Island(FrozenLake):
    trees: int = static()  # without a default


class Ship(Wrapper):
    pass


class Sailor(QLearning):
    pass


WORLD = Ship(env=Island(trees=3, max_steps=7))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder whose training was stopped, and the message."""
    out = tmp_path_factory.mktemp("study") / "island"
    with pytest.raises(KeyboardInterrupt) as stop:
        train(Sailor(), WORLD, out=out, callbacks=[lambda report: report.step >= 100], **SIZE)
    return out, str(stop.value)


def test_what_a_script_defines_it_can_resume_and_play(stopped, tmp_path):
    out, message = stopped
    how = f"continue in a script that defines Ship, Island and Sailor with: jaxrl.resume({str(out)!r})"
    assert message == f"stopped; {how}"
    with pytest.raises(
        InputError, match="holds this study unfinished; continue in a script that defines Ship, "
    ):
        train(Sailor(), WORLD, out=out, **SIZE)
    for results in (resume(out), load(out)):
        assert results.study.environments == (WORLD,)
        assert results.policy(1).predict(0)[0] in range(4)
    saved = results.policy(1).save(tmp_path / "policy.safetensors")
    assert Policy.load(saved).environment == WORLD


def test_a_class_of_another_script_is_named_with_the_remedy(stopped):
    out, _ = stopped
    file = out / "manifest.json"
    before = file.read_text()
    file.write_text(before.replace('"Sailor"', '"Pirate"'))
    remedy = "if a script defines Pirate, call jaxrl.load or jaxrl.resume in that script"
    with pytest.raises(InputError, match=f"unknown algorithm 'Pirate': .*; {remedy}"):
        load(out).policy(0)
    file.write_text(before)


def test_a_package_that_asks_for_the_names_while_it_gives_its_own_is_told_so(tmp_path, monkeypatch):
    (tmp_path / "early_lab.py").write_text(
        "from jaxrl import registry\nregistry._joined('a.group', object)\nLAB = {}\n"
    )
    entry = importlib.metadata.EntryPoint("lab", "early_lab:LAB", "a.group")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [entry])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        InputError, match=r"^early_lab asks for the names of a.group while it is imported .*; remove"
    ):
        registry._joined("a.group", object)
