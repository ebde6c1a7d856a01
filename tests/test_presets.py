"""Every preset is a study that can be trained."""

import pytest

from envs import DeepSea, MountainCarContinuous
from jaxrl import InputError, preset, registry
from jaxrl.presets import PRESETS
from jaxrl.study.study import make_study


@pytest.mark.parametrize("names", PRESETS, ids=" ".join)
def test_a_preset_is_a_study(names):
    study = make_study(**preset(*names))
    assert registry.name_of(study.algorithms[0]) == names[0]
    assert registry.name_of(study.environments[0]) == names[1]


def test_a_preset_changes_the_environment_and_not_the_defaults():
    assert preset("ppo", "DeepSea-v0")["environment"] == DeepSea(size=20)
    study = preset("sac", "MountainCarContinuous-v0")
    assert (study["environment"], study["steps"], study["seeds"]) == (MountainCarContinuous(), 40_000, 128)
    assert study["algorithm"] != registry.algorithm("sac")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("ppo", "Taxi-v3"), "unknown preset 'ppo Taxi-v3': .*known are ppo Acrobot-v1, ppo CartPole-v1"),
        (("pp0", "Taxi-v3"), "unknown algorithm 'pp0': did you mean 'ppo'"),
        (("ppo", "CartPole"), "unknown environment 'CartPole': did you mean 'CartPole-v1'"),
    ],
)
def test_what_has_no_preset_is_refused(names, sentence):
    with pytest.raises(InputError, match=sentence):
        preset(*names)
