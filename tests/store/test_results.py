import importlib
import importlib.metadata
import inspect
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from envs import CartPole, FrozenLake, GridWorld
from jaxrl import InputError, grid, load, registry, resume, train, write_report
from jaxrl.algorithms import QLearning
from jaxrl.config import static
from jaxrl.environment import Wrapper
from jaxrl.store.manifest import FORMAT
from jaxrl.store.policy import Policy
from jaxrl.store.provenance import code_hash
from jaxrl.store.results import never_updated
from jaxrl.study.seeds import parse_seeds
from tests.lanes import bits, equal, trained
from tests.learners import Counting, Idle, Rising, registered

# Goals all around, so that even a few random steps find the goal and fill the table.
LAKE = FrozenLake(rows=("SFFF", "FFFG", "FFGF", "FGFF"))
ALGORITHMS = grid(QLearning(), learning_rate=[0.1, 0.5], double=[False, True])
SETTINGS = {"seeds": 3, "steps": 400, "evaluate_every": 100, "evaluation_episodes": 3, "width": 4}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "lakes"
    return train(ALGORITHMS, LAKE, out=folder, **SETTINGS)


def test_runs_table(study):
    runs = study.runs
    assert runs.run.to_list() == list(range(12))
    assert runs.seed.to_list() == [0, 1, 2] * 4
    assert runs.setting.to_list() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert runs.learning_rate.to_list() == [0.1] * 6 + [0.5] * 6
    assert runs.double.to_list() == ([False] * 3 + [True] * 3) * 2
    assert set(runs.environment) == {"FrozenLake-v1"}
    assert set(runs.algorithm) == {"q_learning"}
    assert set(runs.status) == {"complete"}
    assert set(runs["env.rows"]) == {"SFFF/FFFG/FFGF/FGFF"}


def test_curves_are_tidy(study):
    curves = study.curves
    assert list(curves.columns) == ["run", "step", "metric", "value"]
    assert not curves.duplicated(["run", "step", "metric"]).any()
    evaluations = study.metric("eval_return")
    assert evaluations.shape == (12, 5)
    assert evaluations.columns.to_list() == [0, 100, 200, 300, 400]
    assert study.metric("epsilon").columns.to_list() == [100, 200, 300, 400]


def test_training_returns_are_means_over_the_episodes_of_a_chunk(tmp_path):
    """GridWorld with a time limit of one step: each episode returns the step's reward, -0.1 or -1."""
    results = train(QLearning(epsilon_end=1.0), GridWorld(max_steps=1), out=tmp_path / "grid", **SETTINGS)
    returns, lengths = results.metric("return"), results.metric("length")
    assert (lengths == 1).all(axis=None)
    assert returns.min(axis=None) >= -1
    assert returns.max(axis=None) <= -0.1
    # From the top left, two of the four uniform actions run into the wall.
    assert returns.mean(axis=None) == pytest.approx(-0.55, abs=0.05)


def test_loading_gives_the_same(study):
    again = load(study.path)
    pd.testing.assert_frame_equal(again.runs, study.runs)
    pd.testing.assert_frame_equal(again.curves, study.curves)
    assert again.manifest == study.manifest


def test_manifest_says_how_it_was_made(study):
    manifest = study.manifest
    assert manifest["status"] == "complete"
    assert manifest["plan"] == {"programs": 2, "batches": 4, "width": 4, "devices": 1}
    assert manifest["machine"]["jax"] == jax.__version__
    assert manifest["study"]["prng"] == "pcg4x32"
    assert sum(len(entry["runs"]) for entry in manifest["seconds"]) == 12


def test_the_study_and_its_batches_come_back(study):
    assert study.study.algorithms == tuple(ALGORITHMS)
    assert study.study.environments == (LAKE,)
    assert (study.study.seeds, study.study.steps, study.study.evaluate_in) == ((0, 1, 2), 400, ())
    assert [[run.id for run in batch.runs] for batch in study.batches] == [
        [0, 1, 2, 6],
        [7, 8],
        [3, 4, 5, 9],
        [10, 11],
    ]
    assert {(batch.width, batch.iterations) for batch in study.batches} == {(4, 400)}


def test_saved_states_are_the_trained_ones(study):
    batch, _ = study.find(0)
    saved = study.state(batch)
    assert [run.id for run in batch.runs] == [0, 1, 2, 6]
    assert (np.asarray(saved.q).max(axis=(1, 2, 3)) > 0).all()
    assert equal(bits(saved), bits(trained(batch, 400)))


def test_policy_is_the_final_greedy_one(study):
    batch, lane = study.find(7)
    greedy = np.asarray(study.state(batch).q[lane].mean(axis=0).argmax(axis=-1))
    policy = study.policy(run=7)
    assert policy.predict(range(16))[0].tolist() == greedy.tolist()
    assert (policy.algorithm, policy.environment) == (ALGORITHMS[2], LAKE)
    draws = [study.policy(run=7, seed=seed).predict([0] * 50, deterministic=False)[0] for seed in (0, 0, 1)]
    assert len({*draws[0]}) > 1
    assert [np.array_equal(draws[0], other) for other in draws[1:]] == [True, False]
    with pytest.raises(InputError, match=r"run must be in \[0, 11\], got 12"):
        study.policy(run=12)


def test_policies_are_evaluated_again_as_at_the_end_of_training(study):
    """With as many episodes, to the bit."""
    table = study.evaluate(LAKE, episodes=SETTINGS["evaluation_episodes"])
    assert table.columns.to_list() == [
        "run",
        "setting",
        "seed",
        "environment",
        "episodes",
        "return",
        "length",
    ]
    assert table["return"].to_list() == study.final().to_list()
    assert table["length"].to_list() == study.final("eval_length").to_list()
    assert table[["run", "setting", "seed"]].equals(study.runs[["run", "setting", "seed"]])
    assert set(table.episodes) == {3}


def test_policies_are_evaluated_anywhere_they_fit(study):
    """In environments by name or by what differs, of some of the runs, greedily or not."""
    short, safe = LAKE.replace(max_steps=1), LAKE.replace(is_slippery=False)
    table = study.evaluate({"short": short, "safe": safe}, episodes=3, runs=[7, 0])
    assert table[["environment", "run"]].to_numpy().tolist() == [
        ["safe", 0],
        ["safe", 7],
        ["short", 0],
        ["short", 7],
    ]
    assert set(table.length[2:]) == {1}
    rows = "rows=SFFF/FFFG/FFGF/FGFF"
    named = study.evaluate([short, safe], episodes=3, runs=[0])
    assert named.environment.to_list() == [
        f"FrozenLake-v1 max_steps=1 {rows}",
        f"FrozenLake-v1 {rows} is_slippery=False",
    ]
    greedy, exploring, again = (
        study.evaluate(safe, episodes=3, runs=range(6), explore=explore) for explore in (False, True, True)
    )
    assert greedy.length.to_list() != exploring.length.to_list()
    assert again.equals(exploring)


@pytest.mark.parametrize(
    ("environments", "options", "said"),
    [
        (
            GridWorld(size=3),
            {},
            r"GridWorld-v0 size=3: GridWorld does not fit: its observation space is Discrete\(9\)",
        ),
        ({"long": CartPole()}, {}, "long: CartPole does not fit: its observation space is Box"),
        ([], {}, "name at least one environment"),
        ([LAKE, LAKE], {}, "the environment FrozenLake-v1 rows=.* was given twice"),
        ({"lake": FrozenLake}, {}, r"lake must be an Environment such as CartPole\(\), got <class"),
        (LAKE.replace(max_steps=0), {}, "FrozenLake.max_steps must be at least 1, got 0"),
        (LAKE, {"runs": [3, 12]}, r"run must be in \[0, 11\], got 12"),
        (LAKE, {"runs": []}, "name at least one run$"),
        (LAKE, {"episodes": 0}, "episodes must be an integer of at least 1, got 0"),
    ],
)
def test_evaluations_that_do_not_fit(environments, options, said, study):
    with pytest.raises(InputError, match=f"^{said}"):
        study.evaluate(environments, **options)


def test_transitions_of_a_policy_are_successive(study):
    data = study.transitions(7, 60)
    assert {name: (array.shape, array.dtype.name) for name, array in data.items()} == {
        "obs": ((60,), "int32"),
        "action": ((60,), "int32"),
        "reward": ((60,), "float32"),
        "next_obs": ((60,), "int32"),
        "terminated": ((60,), "bool"),
        "truncated": ((60,), "bool"),
    }
    over = data["terminated"] | data["truncated"]
    assert over.any()
    assert (data["reward"] == data["terminated"]).all()
    follows = np.where(over, 0, data["next_obs"])  # every episode starts in the first cell
    assert data["obs"].tolist() == [0, *follows[:-1]]
    assert data["action"].tolist() == study.policy(7).predict(data["obs"])[0].tolist()
    again, other, exploring = (
        study.transitions(7, 60, **options) for options in ({}, {"seed": 1}, {"explore": True})
    )
    assert all(np.array_equal(data[name], again[name]) for name in data)
    assert not np.array_equal(data["obs"], other["obs"])
    assert exploring["action"].tolist() != study.policy(7).predict(exploring["obs"])[0].tolist()
    with pytest.raises(InputError, match="steps must be an integer of at least 1, got 0"):
        study.transitions(7, 0)
    with pytest.raises(InputError, match=r"run must be in \[0, 11\], got 12"):
        study.transitions(12, 1)


def test_transitions_and_policies_remember_and_know_the_end_of_a_schedule(tmp_path):
    """Actions are numbers of steps; episodes have two, each with the level as its reward."""
    with registered():
        results = train(Counting(), Rising(), out=tmp_path / "rising", **SETTINGS)
        data, policy = results.transitions(1, 6), results.policy(1)
        assert data["action"].tolist() == [0, 1] * 3
        assert data["reward"].tolist() == [10] * 6
        assert data["truncated"].tolist() == [False, True] * 3
        assert policy.environment == Rising(level=10.0)
        assert Policy.load(policy.save(tmp_path / "policy")).environment == policy.environment


def test_final_scores_are_the_last_evaluations(study):
    assert study.final().to_dict() == study.metric("eval_return")[400].to_dict()


class Slow(Idle):
    """An iteration counts as several steps."""

    steps_per_iteration = 48


class Breaking(Idle):
    def init(self, env, key):
        return jnp.float32(0)

    def step(self, env, state, key, t, total):
        return jnp.float32(jnp.inf), {}


def test_final_scores_of_unequal_lengths_and_failures(tmp_path):
    """Iterations of 1 and of 48 steps end at 350 and at 336 of 350; the last run breaks."""
    algorithms = [Idle(), Slow(), Breaking()]
    settings = {"seeds": 1, "steps": 350, "evaluate_every": 1_000, "evaluation_episodes": 2}
    results = train(algorithms, GridWorld(), out=tmp_path / "unequal", **settings)
    table = results.metric("eval_return")
    assert table.columns.to_list() == [0, 336, 350]
    final = results.final()
    assert final[0] == table.loc[0, 350]
    assert final[1] == table.loc[1, 336]
    assert np.isnan(final[2])


class Worded(Idle):
    action: str = static("left", choices=("left",))

    def act(self, env, state, memory, obs, key, explore):
        return jnp.int32(0), memory


class SeedField(QLearning):
    seed: int = static(7)


def test_fields_of_one_name_and_two_types_become_text(tmp_path):
    results = train([Idle(action=0.5), Worded()], GridWorld(), out=tmp_path / "mixed", **SETTINGS)
    assert results.runs.action.to_list() == ["0.5"] * 3 + ["left"] * 3


def test_fields_that_would_hide_a_column_are_refused(tmp_path):
    with pytest.raises(InputError, match="SeedField has a field 'seed', which is the name of another column"):
        train(SeedField(), GridWorld(), out=tmp_path / "seed", **SETTINGS)
    assert not (tmp_path / "seed").exists()


def test_numpy_numbers_are_as_good_as_pythons(tmp_path):
    settings = {name: np.int64(value) for name, value in SETTINGS.items()}
    results = train(QLearning(), LAKE, out=tmp_path / "numpy", **settings)
    assert len(results.runs) == 3


def test_changed_code_is_another_study(study, monkeypatch):
    monkeypatch.setattr(inspect, "getsource", lambda _: "class FrozenLake: ...")
    with pytest.raises(
        InputError, match="differs in the code of FrozenLake-v1, the code of q_learning; choose"
    ):
        train(ALGORITHMS, LAKE, out=study.path, **SETTINGS)


def test_the_code_of_a_class_is_that_of_its_whole_module(tmp_path, monkeypatch):
    """A helper or a constant beside it, too, and the same of its components."""
    monkeypatch.syspath_prepend(tmp_path)
    source = "from envs import GridWorld\nBONUS = 1\nclass World(GridWorld):\n    pass\n"

    def hashed(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        return code_hash(Wrapper(env=importlib.import_module(name).World()))

    one = hashed("one_world", source)
    assert hashed("same_world", source) == one
    assert hashed("other_world", source.replace("BONUS = 1", "BONUS = 2")) != one


def test_versions_behind_an_adapter_are_part_of_its_code(monkeypatch):
    """Also where it is wrapped."""
    adapted = [registry.adapters()[prefix](name="any") for prefix in ("gymnasium", "gymnax")]
    configs = [*adapted, *(Wrapper(env=each) for each in adapted), Wrapper(env=GridWorld())]
    before = [code_hash(config) for config in configs]
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "99")
    changed = [code_hash(config) != then for config, then in zip(configs, before, strict=True)]
    assert changed == [True] * (len(configs) - 1) + [False]


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(
        InputError, match=r"No space left on device; once it can be, continue with: jaxrl resume .*full$"
    ):
        train(QLearning(), LAKE, out=tmp_path / "full", **SETTINGS)


def test_a_result_prints_as_one_line(study):
    assert repr(study) == f"Results({str(study.path)!r}, 12 runs)"


def test_runs_without_an_update_are_named():
    """Failed runs are another matter, and tables have no gradients."""
    names = ["reinforce"] * 3 + ["a2c"] * 2 + ["q_learning"]
    runs = pd.DataFrame(
        {"run": range(6), "algorithm": names, "status": ["complete"] * 2 + ["failed"] + ["complete"] * 3}
    )
    norms = [(0, np.nan), (0, 1.5), (1, np.nan), (1, np.nan), (2, np.nan), (3, 0.5), (4, 0.0)]
    curves = pd.DataFrame(
        [(run, 100, "grad_norm", value) for run, value in norms] + [(5, 100, "td_error", np.nan)]
    )
    curves.columns = ["run", "step", "metric", "value"]
    assert never_updated(runs, curves) == ("1 of 2 runs of reinforce made no update: give more steps",)


def test_unknown_metric(study):
    with pytest.raises(InputError, match="unknown metric 'eval_retrun': did you mean 'eval_return'"):
        study.metric("eval_retrun")


def test_the_same_study_is_read_and_not_trained_again(study):
    before = (study.path / "curves.parquet").stat().st_mtime_ns
    again = train(ALGORITHMS, LAKE, out=study.path, **SETTINGS)
    pd.testing.assert_frame_equal(again.curves, study.curves)
    assert (study.path / "curves.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seeds": 4}, "seeds"),
        ({"steps": 800}, "steps"),
        ({"width": 6}, "width"),
        ({"evaluate_every": 80, "evaluation_episodes": 4}, "evaluate_every, evaluation_episodes"),
        ({"prng": "threefry2x32"}, "prng"),
        ({"precision": "tensorfloat32"}, "precision"),
        ({"algorithm": ALGORITHMS[:3]}, "algorithms"),
        ({"algorithm": [ALGORITHMS[0].replace(discount=0.5), *ALGORITHMS[1:]]}, "q_learning's discount"),
        (
            {
                "algorithm": [each.replace(discount=0.5, double=False) for each in ALGORITHMS[:3:2]]
                + ALGORITHMS[1::2]
            },
            "q_learning's discount, q_learning's learning_rate, q_learning's double",
        ),
        ({"environment": [LAKE, GridWorld()]}, "environments"),
        ({"environment": GridWorld()}, "environments"),
        ({"environment": LAKE.replace(is_slippery=False)}, "FrozenLake-v1's is_slippery"),
        ({"evaluate_in": {"dry": LAKE.replace(is_slippery=False)}}, "evaluate_in"),
    ],
)
def test_another_study_is_not_overwritten(study, changes, named):
    before = {file: file.stat().st_mtime_ns for file in study.path.rglob("*")}
    same = {"algorithm": ALGORITHMS, "environment": LAKE}
    with pytest.raises(
        InputError, match=rf"holds another study, which differs in {named}; choose another folder"
    ):
        train(**(same | SETTINGS | changes), out=study.path)
    assert {file: file.stat().st_mtime_ns for file in study.path.rglob("*")} == before


def test_other_environments_of_evaluation_are_another_study(tmp_path):
    def run(**worlds):
        return train(QLearning(), LAKE, evaluate_in=worlds, out=tmp_path / "named", **SETTINGS)

    dry = LAKE.replace(is_slippery=False)
    run(dry=dry, short=LAKE.replace(max_steps=3))
    for worlds, named in (
        ({"ice": dry, "short": LAKE.replace(max_steps=3)}, "evaluate_in"),
        ({"short": LAKE.replace(max_steps=3), "dry": dry}, "evaluate_in"),
        ({"dry": dry, "short": LAKE.replace(max_steps=4)}, "FrozenLake-v1's max_steps"),
        ({"dry": dry}, "evaluate_in"),
        ({}, "evaluate_in"),
    ):
        with pytest.raises(InputError, match=f"which differs in {named}; choose another folder"):
            run(**worlds)


def test_folders_that_are_no_study(tmp_path):
    (tmp_path / "parts").mkdir()
    with pytest.raises(InputError, match=r"is not a results folder: it has no manifest.json"):
        train(QLearning(), LAKE, out=tmp_path, **SETTINGS)
    with pytest.raises(InputError, match=r"nowhere is not a results folder: there is no such folder"):
        load(tmp_path / "nowhere")
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(InputError, match=r"notes.txt is not a results folder: it is a file"):
        load(file)
    with pytest.raises(InputError, match="cannot be written"):
        train(QLearning(), LAKE, out=file / "below", **SETTINGS)


def test_manifests_of_another_kind(tmp_path):
    (tmp_path / "manifest.json").write_text(f'{{"format": {FORMAT}}}')
    with pytest.raises(InputError, match=r"manifest\.json is damaged: it lacks 'jaxrl'"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text(f'{{"format": {FORMAT}')
    with pytest.raises(InputError, match=r"manifest\.json is damaged$"):
        load(tmp_path)


def without(key, mapping):
    return {name: value for name, value in mapping.items() if name != key}


def test_manifests_that_were_altered_inside(study, tmp_path):
    spec, plan = study.manifest["study"], study.manifest["plan"]
    altered = [
        ({"study": without("steps", spec)}, "damaged: it lacks 'study.steps'"),
        ({"plan": without("width", plan)}, "damaged: it lacks 'plan.width'"),
        ({"plan": plan | {"width": "4"}}, r"manifest\.json is damaged: 'plan.width' cannot hold '4'$"),
        ({"sha256": {}}, "damaged: it lacks 'sha256.runs.parquet'"),
        ({"study": spec | {"steps": "many"}}, "damaged: 'study.steps' cannot hold 'many'"),
        ({"study": spec | {"algorithms": [{"name": "ppo"}]}}, "lacks 'study.algorithms.parameters'"),
        (
            {"study": spec | {"algorithms": [without("code", spec["algorithms"][0])]}},
            "it lacks 'study.algorithms.code'",
        ),
        ({"study": spec | {"algorithms": 3}}, "damaged: 'study.algorithms' cannot hold 3"),
        ({"machine": {}}, "damaged: it lacks 'machine.jax'"),
        ({"resumed": [{}]}, "damaged: it lacks 'resumed.at'"),
    ]
    for number, (changes, sentence) in enumerate(altered):
        folder = edited(study, tmp_path / str(number), **(changes | {"status": "running"}))
        if "sha256" in changes:
            folder = edited(study, tmp_path / "complete", **changes)
        with pytest.raises(InputError, match=sentence):
            resume(folder)


@pytest.mark.parametrize(
    "key", ["status", "jaxrl", "created", "study", "plan", "machine", "resumed", "sha256", "seconds"]
)
def test_manifests_that_lack_an_entry(key, study, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(without(key, study.manifest)))
    with pytest.raises(InputError, match=rf"manifest\.json is damaged: it lacks '{key}'$"):
        write_report(tmp_path)


def edited(results, tmp_path, **changes):
    """A copy of the study's manifest with changes, alone in a folder."""
    folder = tmp_path / "edited"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(results.manifest | changes))
    return folder


def test_damaged_folders(study, tmp_path):
    folder = edited(study, tmp_path)
    remedy = rf"; write it again from the checkpoints with: jaxrl resume {folder}$"
    with pytest.raises(InputError, match=rf"^{folder}/runs.parquet is missing{remedy}"):
        load(folder)
    (folder / "runs.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match=rf"runs.parquet was altered or cut short: its hash .*{remedy}"):
        load(folder)
    shutil.copy(study.path / "runs.parquet", folder)
    with pytest.raises(InputError, match=r"curves.parquet is missing; train all batches again with: .* all$"):
        load(folder)


def test_unfinished_folders(study, tmp_path):
    folder = edited(study, tmp_path, status="running")
    with pytest.raises(InputError, match=r"holds an unfinished study; finish it with: jaxrl resume"):
        load(folder)
    with pytest.raises(InputError, match=r"holds this study unfinished; continue with: jaxrl resume"):
        train(ALGORITHMS, LAKE, out=folder, **SETTINGS)


def test_newer_folders(study, tmp_path):
    with pytest.raises(InputError, match=rf"has format 99, newer than this jaxrl reads \({FORMAT}\)"):
        load(edited(study, tmp_path, format=99))


def test_older_folders(study, tmp_path):
    with pytest.raises(InputError, match=rf"has format 1, older than this jaxrl reads \({FORMAT}\)"):
        load(edited(study, tmp_path, format=1))


def test_foreign_files_may_lie_in_a_new_folder(tmp_path):
    """Such as a scheduler's log. They stay."""
    for name in (".DS_Store", "slurm-17.out"):
        (tmp_path / name).write_text("theirs")
    train(QLearning(), LAKE, out=tmp_path, **SETTINGS)
    assert load(tmp_path).runs.run.to_list() == [0, 1, 2]
    assert (tmp_path / "slurm-17.out").read_text() == "theirs"


def test_a_link_to_nowhere_is_named(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with pytest.raises(
        InputError, match=rf"{link} is a link to {tmp_path}/target, which does not exist; make "
    ):
        train(QLearning(), LAKE, out=link, **SETTINGS)
    (tmp_path / "target").mkdir()
    train(QLearning(), LAKE, out=link, **SETTINGS)


def test_commands_to_copy_quote_a_path_with_blanks(study, tmp_path):
    for status, content in (
        ("running", "unfinished study; finish it"),
        ("complete", "is missing; write it again"),
    ):
        folder = edited(study, tmp_path / f"my {status}", status=status)
        with pytest.raises(InputError, match=rf"{content}.* with: jaxrl resume '{folder}'(,|$)"):
            load(folder)


def test_without_a_folder_results_go_to_a_temporary_one():
    results = train(QLearning(), LAKE, **SETTINGS)
    assert load(results.path).runs.equals(results.runs)


def test_seeds_as_a_range(tmp_path):
    results = train(QLearning(), LAKE, out=tmp_path / "r", **(SETTINGS | {"seeds": "100:103"}))
    assert results.runs.seed.to_list() == list(parse_seeds("100:103"))
