"""A results folder from a stranger: it may hold anything, and reading or continuing it does no harm."""

import json
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from envs import GridWorld
from jaxrl import InputError, compare, export, grid, load, resume, select, train, write_report
from jaxrl.algorithms import QLearning
from jaxrl.analysis.live import log_to
from jaxrl.cli.commands import main
from jaxrl.fields import hash_of
from jaxrl.run.reproduce import replay, write_gif
from jaxrl.store.files import file_hash, subfolder, write_text
from jaxrl.store.policy import Policy
from jaxrl.store.states import read_arrays, write_arrays
from jaxrl.text import file_name, print_table

SETTINGS = {"seeds": 2, "steps": 200, "evaluate_every": 100, "evaluation_episodes": 1, "width": 2}
WRITTEN = ("report.html", "compare.csv", "compare.md", "compare.tex", "runs.parquet", "manifest.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "whole"
    return train(grid(QLearning(), learning_rate=[0.1, 0.5]), GridWorld(), out=out, **SETTINGS)


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def mine(tmp_path):
    """A folder of the user's, and what it holds."""
    folder = tmp_path / "mine"
    (folder / "batch-00000-kept").mkdir(parents=True)
    for name in ("batch-00000.json", "batch-00000-0.safetensors", "00000-000.parquet", "left.tmp", "file"):
        (folder / name).write_text("mine")
    return folder


def contents(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edited(folder, *keys, value):
    """Replaces an entry of a manifest."""
    file = folder / "manifest.json"
    manifest = holder = json.loads(file.read_text())
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = value
    file.write_text(json.dumps(manifest))


def with_table(folder, name, table):
    """Replaces a table, and its hash in the manifest."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(table, folder / name)
    edited(folder, "sha256", name, value=file_hash(folder / name))


def write_everything(folder):
    write_report(folder)
    compare(folder)
    export(folder, "rliable")
    export(folder, "marl-eval")
    (folder / "runs.parquet").unlink()
    resume(folder)


def test_names_of_temporary_files_that_are_links_are_not_followed(copy, mine):
    for name in WRITTEN:
        (copy / f"{name}.tmp").symlink_to(mine / "file")
    before = contents(mine)
    write_everything(copy)
    assert contents(mine) == before


def test_a_link_in_the_place_of_a_file_is_replaced(copy, mine):
    for name in ("report.html", "compare.csv", "compare.md", "compare.tex", "rliable.npz"):
        (copy / name).symlink_to(mine / "file")
    (copy / "figures").mkdir()
    for suffix in ("svg", "pdf", "png"):
        (copy / "figures" / f"learning-curves-GridWorld-v0.{suffix}").symlink_to(mine / "file")
    before = contents(mine)
    write_everything(copy)
    assert contents(mine) == before
    assert not any(path.is_symlink() for path in copy.rglob("*"))


def test_no_file_is_made_through_a_link(tmp_path, monkeypatch, mine):
    """Not even if its random name were known."""
    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    (tmp_path / "file.known.tmp").symlink_to(mine / "file")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "file", "theirs")
    assert (mine / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["checkpoints", "parts", "shared", ".lock"])
@pytest.mark.parametrize(
    "options", [{"rerun": 0}, {"rerun": "all"}, {"more_seeds": 1}, {"steps": 400}], ids=str
)
def test_nothing_is_written_or_removed_through_a_linked_folder(name, options, copy, mine):
    if (copy / name).is_dir():
        shutil.copytree(copy / name, mine, dirs_exist_ok=True)
        shutil.rmtree(copy / name)
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(mine / "file" if name == ".lock" else mine)
    before = contents(mine)
    with pytest.raises(InputError, match=rf"{name} is a link, and nothing is written through a link"):
        resume(copy, **options)
    assert contents(mine) == before


def test_figures_fresh_runs_and_logs_are_not_written_through_a_link(copy, mine):
    for name in ("figures", "selected-eval_return", "tensorboard"):
        (copy / name).symlink_to(mine)
    before = contents(mine)
    for write in (
        write_report,
        select,
        lambda folder: log_to("tensorboard", folder).__enter__(),
    ):
        with pytest.raises(InputError, match="is a link, and nothing is written through a link"):
            write(copy)
    (copy / "selected-eval_return").unlink()
    (copy / "selected-eval_return").mkdir()
    (copy / "selected-eval_return" / "GridWorld-v0").symlink_to(mine)
    with pytest.raises(InputError, match="GridWorld-v0 is a link, and nothing is written through a link"):
        select(copy)
    (copy / "tensorboard").unlink()
    (copy / "tensorboard").mkdir()
    (copy / "tensorboard" / "GridWorld-v0").symlink_to(mine)
    with (
        pytest.raises(InputError, match="GridWorld-v0 is a link, and nothing is written through a link"),
        log_to("tensorboard", copy) as log,
    ):
        resume(copy, more_seeds=1, callbacks=[log])
    assert contents(mine) == before


def test_a_picture_replaces_a_link(copy, mine):
    (copy / "run.gif").symlink_to(mine / "file")
    write_gif(load(copy), 0, copy / "run.gif")
    assert (mine / "file").read_text() == "mine"


def test_a_folder_that_is_itself_a_link_is_a_folder(copy, tmp_path):
    (tmp_path / "link").symlink_to(copy)
    resumed = resume(tmp_path / "link", more_seeds=1)
    write_report(tmp_path / "link")
    assert len(resumed.runs) == 6
    assert (copy / "report.html").exists()


def test_a_name_is_never_the_folder_above(tmp_path):
    assert [file_name(label) for label in ("..", ".", "../..", "/")] == ["-"] * 4
    assert subfolder(tmp_path, file_name("..")).parent == tmp_path


EVIL = "x\n| forged |\x1b[2J\x9b\u202e"


def test_tables_with_control_characters_are_refused(copy, whole):
    for column in ("environment", "algorithm"):
        with_table(copy, "runs.parquet", whole.runs.assign(**{column: EVIL}))
        with pytest.raises(InputError, match=rf"runs.parquet cannot be read: its column '{column}' holds 'x"):
            compare(copy)
    with_table(copy, "runs.parquet", whole.runs.assign(**{EVIL: 1}))
    with pytest.raises(InputError, match=r"runs.parquet cannot be read: it has a column 'x") as error:
        load(copy)
    assert str(error.value).isprintable()
    with_table(copy, "runs.parquet", whole.runs)
    with_table(copy, "curves.parquet", whole.curves.assign(metric=EVIL))
    with pytest.raises(InputError, match=r"curves.parquet cannot be read: its column 'metric' holds 'x"):
        load(copy)


def test_labels_of_a_folder_hold_no_control_characters(whole, tmp_path, capsys):
    folder = tmp_path / EVIL
    for name in ("one", "two"):
        shutil.copytree(whole.path, folder / name)
    compared = compare([folder / "one", folder / "two"], out=tmp_path)
    assert all(label.isprintable() for label in compared.settings["setting"])
    assert "\n| forged |" not in (tmp_path / "compare.md").read_text()
    print_table(["label"], [[EVIL]], width=200)
    assert "\x1b[2J" not in capsys.readouterr().out
    assert str(InputError(EVIL)).isprintable()


class Sly(GridWorld):
    """An environment that the next test registers under a bad name."""


def test_what_we_write_ourselves_is_escaped(tmp_path, monkeypatch):
    from jaxrl import registry

    monkeypatch.setitem(registry.environments(), "evil\n|name", Sly())
    results = train(QLearning(), Sly(), out=tmp_path / "sly", **SETTINGS)
    assert set(results.runs.environment) == {r"evil\n|name"}
    assert registry.label_of(Sly()) == r"evil\n|name"


def evil_module(tmp_path, monkeypatch):
    """A module that leaves a mark where it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evilmod.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    return tmp_path / "ran"


IDS = [
    {"name": "gymnasium:evilmod:X-v0", "parameters": {"name": "evilmod:X-v0", "max_steps": 9}, "code": ""},
    {"name": "gymnasium:CartPole-v1", "parameters": {"name": "evilmod:X-v0", "max_steps": 9}, "code": ""},
    {"name": "Randomised", "parameters": {"env": "gymnasium:evilmod:X-v0"}, "code": ""},
    {"name": "Randomised", "parameters": {"env": "gymnasium:Ant-v5", "env.name": "evilmod:X"}, "code": ""},
    {"name": "gymnasium:a:evilmod:X-v0", "parameters": {}, "code": ""},
]


@pytest.mark.parametrize("entry", IDS, ids=lambda entry: str([entry["name"], *entry["parameters"].values()]))
def test_no_module_is_imported_because_a_folder_names_it(entry, copy, tmp_path, monkeypatch):
    ran = evil_module(tmp_path, monkeypatch)
    ours = json.loads((copy / "manifest.json").read_text())["study"]["environments"]
    edited(copy, "study", "environments", value=[entry])
    uses = [
        lambda folder: resume(folder, more_seeds=1),
        lambda folder: replay(load(folder), 0),
        lambda folder: load(folder).policy(0),
        lambda folder: load(folder).evaluate(GridWorld()),
    ]
    for use in uses:
        with pytest.raises(InputError, match=r"needs the module '.*', and no module is imported because"):
            use(copy)
    edited(copy, "study", "environments", value=ours)
    edited(copy, "study", "evaluate_in", value=[{"label": "evil", **entry}])
    with pytest.raises(InputError, match="no module is imported"):
        load(copy).policy(0)
    assert not ran.exists()


def test_no_module_is_imported_because_the_file_of_a_policy_names_it(whole, tmp_path, monkeypatch):
    ran = evil_module(tmp_path, monkeypatch)
    path = whole.policy(0).save(tmp_path / "policy")
    arrays, metadata = read_arrays(path)
    described = json.loads(metadata["jaxrl"]) | {"environment": IDS[0]}
    write_arrays(path, arrays, {"jaxrl": json.dumps(described)})
    with pytest.raises(InputError, match="no module is imported"):
        Policy.load(path)
    assert not ran.exists()


def test_a_module_that_the_user_has_imported_is_trusted(tmp_path, monkeypatch):
    gymnasium = pytest.importorskip("gymnasium")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mymod.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=9)\n"
    )
    from jaxrl import registry

    with pytest.warns(UserWarning, match="is stepped in Python"):
        env = registry.environment("gymnasium:mymod:Mine-v0")
    settings = SETTINGS | {"seeds": 1, "steps": 20}
    results = train(QLearning(), GridWorld(), evaluate_in=None, out=tmp_path / "grid", **settings)
    edited(results.path, "study", "environments", value=[{**registry.entry_of(env), "code": ""}])
    assert load(results.path).study.environments == (env,)
    monkeypatch.delitem(sys.modules, "mymod")
    with pytest.raises(InputError, match=r"needs the module 'mymod'.*--trust mymod"):
        _ = load(results.path).study
    gymnasium.registry.pop("Mine-v0")


NESTED = "[" * 100_000
TEXTS = [NESTED, NESTED + "]" * 100_000, "", "[]", "3", "null", "\ufeff{}", '{"format": Infinity}']
TEXTS += ['{"format": 1e999}', '{"format": "5"}', '{"format": true}', f'{{"format": {"9" * 4_000}}}', "\xff"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_manifests_that_are_none(text, copy):
    (copy / "manifest.json").write_text(text, encoding="latin-1" if text == "\xff" else "utf-8")
    with pytest.raises(InputError, match=r"manifest.json (is damaged|has format 9)"):
        load(copy)


MUTATIONS = {
    ("study", "seeds"): [10**30, [-1], [2**32], [0.5], "0:2", [True], None],
    ("study", "steps"): [0, -1, 2**31, 1.5, True],
    ("study", "environments"): [[], {}, [3], [{"name": 3, "parameters": {}, "code": ""}]],
    ("study", "algorithms"): [[{"name": "q_learning", "parameters": {"a": {}}, "code": ""}], None],
    ("study", "evaluate_in"): [[{"label": "\n", "name": "GridWorld-v0", "parameters": {}, "code": ""}], 3],
    ("study", "more_seeds"): [[3], [[10**30]], "1"],
    ("study", "more_steps"): [[0], ["9"], 3],
    ("study", "prng"): [None, "\n"],
    ("plan", "devices"): ["1", 0, None, [1], 1.0],
    ("plan", "width"): [0, 2**31, True],
    ("plan",): [3, []],
    ("machine",): [{}, [], {"jax": 3, "python": "", "device": ""}],
    ("seconds",): [{}, [3], [], [{"runs": "all", "compile": 0, "train": 0, "evaluate": 0, "save": 0}]],
    ("seconds", 0, "runs"): [[0, 0], ["0"], [99], [[0]], 0],
    ("seconds", 0, "train"): [-1, "1", float("nan"), float("inf"), None],
    ("sha256",): [{}, [], {"runs.parquet": 3, "curves.parquet": ""}],
    ("resumed",): [3, [3], [{"at": "", "batches": [0], "anew": [], "differing": {"code": "a"}}]],
    ("created",): [3, "\x1b"],
    ("jaxrl",): [3, "\x1b"],
    ("status",): ["done", None, ["complete"]],
}


@pytest.mark.parametrize(
    ("keys", "value"), [(keys, value) for keys, values in MUTATIONS.items() for value in values], ids=repr
)
def test_manifests_with_values_of_another_kind(keys, value, copy):
    edited(copy, *keys, value=value)
    with pytest.raises(InputError, match=r"manifest.json is damaged: ") as error:
        load(copy)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_a_study_of_too_many_runs_is_refused_at_once(copy):
    spec = json.loads((copy / "manifest.json").read_text())["study"]
    edited(copy, "study", "algorithms", value=spec["algorithms"] * 1_000)
    edited(copy, "study", "environments", value=spec["environments"] * 1_000)
    with pytest.raises(InputError, match="a study has 1 to 2,000,000 runs, here 4,000,000"):
        load(copy)
    with pytest.raises(InputError, match="a study may have at most 2,000,000 runs, got 4,000,000"):
        train([QLearning(learning_rate=i / 8) for i in range(4)], GridWorld(), seeds=1_000_000, steps=10)


def test_evaluations_without_number_are_refused(tmp_path, copy):
    sentence = r"evaluate_every must be at least 21475 with 2147483647 steps, .* 100,000 evaluations, got 1$"
    with pytest.raises(InputError, match=sentence):
        train(QLearning(), GridWorld(), seeds=1, steps=2**31 - 1, evaluate_every=1, out=tmp_path / "new")
    with pytest.raises(InputError, match="evaluate_every must be at least"):
        resume(copy, steps=100 * 100_001)
    edited(copy, "study", "steps", value=2**31 - 1)
    with pytest.raises(InputError, match="evaluate_every must be at least"):
        load(copy).policy(0)


@pytest.mark.parametrize("name", ["manifest.json", "runs.parquet", "curves.parquet"])
def test_pipes_and_devices_are_not_read(name, copy):
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (copy / name).unlink()
        make(copy / name)
        with pytest.raises(InputError, match=rf"{name} cannot be read: it is a pipe or a device"):
            load(copy)


def test_pipes_in_the_place_of_states_and_notes_are_not_read(copy):
    for pattern in ("*.safetensors", "*.json"):
        for path in copy.glob(f"checkpoints/{pattern}"):
            path.unlink()
            os.mkfifo(path)
        with pytest.raises(InputError, match="cannot be read"):
            load(copy).policy(0)


def test_large_and_damaged_json_is_refused(copy):
    (note,) = copy.glob("checkpoints/batch-00000.json")
    note.write_text(NESTED)
    with pytest.raises(InputError, match=r"batch-00000.json cannot be read"):
        load(copy).policy(0)
    with (copy / "manifest.json").open("r+") as file:
        file.truncate(10**12)  # a hole
    with pytest.raises(InputError, match=r"manifest.json cannot be read: it has 1,000,000,000,000 bytes"):
        load(copy)


def changes_of(runs):
    """Tables of runs that no study has."""
    yield from (
        runs.drop(columns=name) for name in ("run", "setting", "seed", "status", "steps", "algorithm")
    )
    yield from (runs.assign(**{name: "text"}) for name in ("run", "seed", "steps", "solved_return"))
    yield from (runs.assign(**{name: 1.5}) for name in ("run", "seed", "environment", "status"))
    yield runs.iloc[::-1]
    yield runs.iloc[:-1]
    yield pd.concat([runs, runs])
    yield runs.assign(status="running")
    yield runs.assign(steps=0)
    yield runs.assign(seed=pd.array([None, *runs.seed[1:]], "Int64"))
    yield runs.assign(more=[[1, 2]] * len(runs))
    yield runs.assign(more=[{"a": 1}] * len(runs))
    yield runs.assign(more=pd.Timestamp("2026-01-01"))
    yield runs.assign(status=runs.status.astype("category"))


def changes_of_curves(curves):
    """Tables of curves that no study has."""
    yield from (curves.drop(columns=name) for name in curves.columns)
    yield curves.assign(value="1")
    yield curves.assign(value=[[1.0]] * len(curves))
    yield curves.assign(run=curves.run + 1)
    yield curves.assign(run=curves.run - 1)
    yield curves.assign(step=-1 - curves.step)
    yield curves.assign(metric=None)
    yield curves.iloc[::-1]
    yield pd.concat([curves, curves])
    yield pd.concat([curves, curves]).sort_values(["run", "metric", "step"])


@pytest.mark.parametrize(("name", "changes"), [("runs", changes_of), ("curves", changes_of_curves)])
def test_tables_that_no_study_has(name, changes, copy, whole):
    for table in changes(getattr(whole, name)):
        with_table(copy, f"{name}.parquet", table)
        with pytest.raises(InputError, match=rf"{name}.parquet (cannot be read|is damaged): .*; "):
            load(copy)
    with_table(copy, f"{name}.parquet", getattr(whole, name))
    load(copy)


def test_two_columns_of_one_name(copy, whole):
    table = pa.Table.from_pandas(whole.runs, preserve_index=False)
    with_table(copy, "runs.parquet", table.append_column("run", table["run"]))
    with pytest.raises(InputError, match="two of its columns have the same name"):
        load(copy)


def test_what_a_file_says_about_pandas_is_ignored(copy, whole):
    table = pa.Table.from_pandas(whole.runs, preserve_index=False)
    with_table(copy, "runs.parquet", table.replace_schema_metadata({"pandas": "{"}))
    pd.testing.assert_frame_equal(load(copy).runs, whole.runs)


@pytest.mark.parametrize("free", [1_000, 5_000_000])
def test_a_table_that_would_fill_the_memory_is_refused(free, copy, whole, monkeypatch):
    """By the size that the file declares, or because it holds a long text once and means it for every row."""
    with_table(copy, "runs.parquet", whole.runs.assign(more="x" * 10**6))
    assert (copy / "runs.parquet").stat().st_size < 100_000
    assert len(load(copy).runs) == 4
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=free))
    with pytest.raises(InputError, match=r"runs.parquet cannot be read: it would take .* of the free memory"):
        load(copy)


def test_the_command_line_trusts_what_it_names(copy, tmp_path, monkeypatch, capsys):
    """Here the module is imported and then knows no such environment."""
    ran = evil_module(tmp_path, monkeypatch)
    monkeypatch.setattr("jaxrl.cli.training.prepare", lambda: None)
    edited(copy, "study", "environments", value=[IDS[0]])
    with pytest.raises(SystemExit):
        main(["replay", str(copy), "--run", "0"])
    assert "on the command line by --trust evilmod" in capsys.readouterr().err
    assert not ran.exists()
    with pytest.raises(SystemExit):
        main(["replay", str(copy), "--run", "0", "--trust", "nowhere"])
    assert "--trust nowhere: the module cannot be imported" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["replay", str(copy), "--run", "0", "--trust", "evilmod"])
    assert "no module is imported" not in capsys.readouterr().err
    assert ran.exists()
    sys.modules.pop("evilmod")


def test_a_damaged_state_is_one_sentence_and_nothing_else(copy, monkeypatch, capfd):
    monkeypatch.setattr("jaxrl.cli.training.prepare", lambda: None)
    for path in copy.glob("checkpoints/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(SystemExit):
        main(["replay", str(copy), "--run", "0"])
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"iteration": 10**9},
        {"iteration": -1},
        {"iteration": 7},
        *[{"train": bad} for bad in (-1.0, float("nan"))],
    ],
    ids=repr,
)
def test_notes_of_progress_that_no_training_writes(changes, copy):
    note = copy / "checkpoints" / "batch-00000.json"
    values = json.loads(note.read_text())
    for name, value in changes.items():
        (values if name in values else values["seconds"])[name] = value
    note.write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"batch 0 of .* is damaged: .*; train it again with: .* --rerun 0"):
        resume(copy, more_seeds=1)


def test_shared_arrays_that_cannot_be(copy, whole, tmp_path):
    flat = {"a": np.zeros(2), "a/b": np.zeros(3)}
    (copy / "shared").mkdir()
    write_arrays(copy / "shared" / f"{'0' * 64}.safetensors", flat)
    with pytest.raises(InputError, match="no shared arrays have the paths a, a/b"):
        load(copy).policy(0)
    path = whole.policy(0).save(tmp_path / "policy")
    arrays, metadata = read_arrays(path)
    arrays |= {f"shared/x/{name}": array for name, array in flat.items()}
    described = json.loads(metadata["jaxrl"]) | {"arrays": hash_of(dict(sorted(arrays.items())))}
    write_arrays(path, arrays, {"jaxrl": json.dumps(described)})
    with pytest.raises(InputError, match="no shared arrays have the paths a, a/b"):
        Policy.load(path)
