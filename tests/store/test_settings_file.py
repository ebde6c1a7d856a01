"""A study's settings in a file say all that the study is."""

import dataclasses

import pytest

from envs import CartPole, FrozenLake, GridWorld
from envs.wrappers import Masked
from jaxrl import InputError, read_settings, write_settings
from jaxrl.algorithms import PPO, QLearning
from jaxrl.config import grid
from jaxrl.learning.networks import GRU
from jaxrl.study.study import make_study
from tests.learners import Cloning

STUDIES = {
    "a table": {
        "algorithm": grid(QLearning(), learning_rate=[0.1, 0.3]),
        "environment": [FrozenLake(is_slippery=False), FrozenLake()],
        "seeds": "3:6",
        "steps": 700,
    },
    "components and a protocol": {
        "algorithm": PPO(network=GRU(units=8)),
        "environment": Masked(env=CartPole(pole_length=0.25)),
        "seeds": [5, 3],
        "steps": 4_096,
        "evaluate_every": 1_024,
        "evaluation_episodes": 3,
        "evaluation_steps": 100,
        "evaluate_in": {"long pole": Masked(env=CartPole(pole_length=1.0))},
        "prng": "threefry2x32",
        "precision": "tensorfloat32",
    },
}


@pytest.mark.parametrize("name", STUDIES)
def test_the_same_study_comes_back(name, tmp_path):
    study = make_study(**STUDIES[name])
    file = write_settings(study, tmp_path / "study.toml")
    assert make_study(**read_settings(file)) == study


def test_a_file_written_by_hand_names_what_differs(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(
        'seeds = 4\nsteps = 1_000\n[[algorithms]]\nname = "ppo"\n'
        'parameters = { learning_rate = 1e-3, network = "gru", "network.units" = 32 }\n'
        '[[environments]]\nname = "CartPole-v1"\n'
    )
    assert make_study(**read_settings(file)) == make_study(
        PPO(learning_rate=1e-3, network=GRU(units=32)), CartPole(), seeds=4, steps=1_000
    )


def test_the_width_goes_with_the_study(tmp_path):
    study = make_study(QLearning(), GridWorld(), seeds=2, steps=100)
    assert read_settings(write_settings(study, tmp_path / "study.toml", 2))["width"] == 2
    assert "width" not in read_settings(write_settings(study, tmp_path / "study.toml"))


def test_more_seeds_are_seeds(tmp_path):
    study = make_study(QLearning(), GridWorld(), seeds=2, steps=100)
    file = write_settings(study.extended(seeds=(7,)), tmp_path / "study.toml")
    assert read_settings(file)["seeds"] == [0, 1, 7]


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        (
            make_study(QLearning(), GridWorld(), seeds=2, steps=100).extended(steps=200),
            "the study was extended to 200 steps, which a settings file cannot say",
        ),
        (
            make_study(Cloning(data={"observation": [0], "action": [0]}), GridWorld(), seeds=2, steps=100),
            "a settings file cannot hold the arrays of a study",
        ),
    ],
)
def test_what_a_file_cannot_say_is_refused(study, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        write_settings(study, tmp_path / "study.toml")
    assert not [*tmp_path.iterdir()]


ALGORITHM, ENVIRONMENT = '[[algorithms]]\nname = "ppo"\n', '[[environments]]\nname = "CartPole-v1"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps = ", "study.toml is not a TOML file: Invalid value"),
        ("\xff", "study.toml is not a TOML file: "),
        ("step = 3\n", "study.toml: unknown setting 'step': did you mean 'steps'\\? known are "),
        (ENVIRONMENT, r"study.toml: algorithms are missing: \[\[algorithms\]\] begins one"),
        (ALGORITHM, "study.toml: environments are missing"),
        (
            'algorithms = "ppo"\n' + ENVIRONMENT,
            r"algorithms must be tables such as \[\[algorithms\]\], got 'ppo'",
        ),
        (ENVIRONMENT + '[[algorithms]]\nname = "pp0"\n', "unknown algorithm 'pp0': did you mean 'ppo'"),
        (
            ENVIRONMENT + ALGORITHM + "parameters = { clap = 1 }\n",
            "study.toml: unknown field of PPO 'clap': did you mean 'clip'",
        ),
        (ENVIRONMENT + ALGORITHM + "parameters = { clip = -1.0 }\n", "study.toml: PPO.clip must be "),
        (ENVIRONMENT + "[[algorithms]]\n", r"each of \[\[algorithms\]\] needs a name"),
        (
            ENVIRONMENT + ALGORITHM + "parameter = { clip = 0.1 }\n",
            r"unknown entry of \[\[algorithms\]\] 'parameter': did you mean 'parameters'",
        ),
        (ENVIRONMENT + ALGORITHM + "parameters = 3\n", "parameters of ppo must be a table, got 3"),
        (ENVIRONMENT + "[[algorithms]]\nname = 3\n", r"each of \[\[algorithms\]\] needs a name, got 3"),
        (ENVIRONMENT + ALGORITHM + 'label = "x"\n', r"unknown entry of \[\[algorithms\]\] 'label'"),
        (
            ENVIRONMENT + ALGORITHM + 'parameters = { network = { name = "gru" } }\n',
            'network of ppo must be a value, got .*; a component is written as its name, and its fields as "network',
        ),
        (
            ENVIRONMENT + ALGORITHM + '[[evaluate_in]]\nname = "CartPole-v1"\nlabel = [1]\n',
            r"each of \[\[evaluate_in\]\] needs a label of its own, got \[\[1\]\]",
        ),
        (
            ENVIRONMENT + ALGORITHM + '[[evaluate_in]]\nname = "CartPole-v1"\n',
            r"each of \[\[evaluate_in\]\] needs a label of its own, got \[None\]",
        ),
        (
            ALGORITHM + '[[environments]]\nname = "gymnasium:evil:X-v0"\n',
            "no module is imported because a folder names it",
        ),
    ],
)
def test_bad_files_are_one_sentence(text, sentence, tmp_path):
    file = tmp_path / "study.toml"
    file.write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=sentence):
        read_settings(file)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read: No such file or directory"):
        read_settings(tmp_path / "none.toml")


def test_each_setting_of_a_study_is_written():
    """A new field of Study has to be added to OF_STUDY, CONFIGS or this list."""
    from jaxrl.store.settings_file import CONFIGS, OF_STUDY

    fields = {field.name for field in dataclasses.fields(make_study(PPO(), CartPole(), seeds=1, steps=512))}
    assert fields == {*CONFIGS, *OF_STUDY, "more_seeds", "more_steps"}
