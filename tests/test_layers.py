"""Data flows one way: a module imports only what lies below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrl.study import READERS

ROOT = Path(__file__).parent.parent
# From the bottom to the top; a module may import jaxrl modules of lower layers alone.
LAYERS = [
    {"jaxrl.errors", "jaxrl.text", "jaxrl.version"},
    {"jaxrl.config", "jaxrl.compilation_cache", "jaxrl.cores", "jaxrl.generators", "jaxrl.mesh"},
    {
        "jaxrl.distributions",
        "jaxrl.environment",
        "jaxrl.normalise",
        "jaxrl.returns",
        "jaxrl.schedules",
        "jaxrl.shuffle",
    },
    {"jaxrl.algorithm", "jaxrl.networks", "jaxrl.replay"},
    {
        "jaxrl.algorithms.dqn",
        "jaxrl.algorithms.ppo",
        "jaxrl.algorithms.q_learning",
        "jaxrl.algorithms.sac",
        "jaxrl.registry",
    },
    {"jaxrl.algorithms.discrete_sac"},
    {"jaxrl.algorithms", "jaxrl.study", "jaxrl.evaluate", "jaxrl.checkpoints", "jaxrl.interruption"},
    {"jaxrl.engine", "jaxrl.memory", "jaxrl.tables"},
    {"jaxrl.plan"},
    {"jaxrl.folder"},
    {"jaxrl.results", "jaxrl.statistics.estimators", "jaxrl.statistics.samples"},
    {"jaxrl.training", "jaxrl.statistics.intervals", "jaxrl.statistics.scores"},
    {"jaxrl.reproduce"},
    {
        "jaxrl.statistics.aggregates",
        "jaxrl.statistics.curves",
        "jaxrl.statistics.description",
        "jaxrl.statistics.power",
        "jaxrl.statistics.selection",
        "jaxrl.statistics.significance",
        "jaxrl.statistics.times",
    },
    {"jaxrl.statistics.comparison"},
    {"jaxrl.statistics"},
    {"jaxrl.report.summary"},
    {"jaxrl.report.conclusions", "jaxrl.report.figures"},
    {"jaxrl.report.interactive", "jaxrl.report.static"},
    {"jaxrl.report.page"},
    {"jaxrl.report", "jaxrl.scoring"},
    {"jaxrl.comparing", "jaxrl.selecting", "jaxrl.sinks"},
    {"jaxrl.exporting"},
    {"jaxrl.cli"},
    {"jaxrl", "jaxrl.__main__"},
]
HEIGHT = {module: height for height, layer in enumerate(LAYERS) for module in layer}


def module_name(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file):
    """Absolute names of all that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in HEIGHT else node.module for name in submodules)


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


def test_every_module_has_a_layer():
    assert {module_name(file) for file in files("jaxrl")} == set(HEIGHT)


@pytest.mark.parametrize("file", files("jaxrl"), ids=module_name)
def test_jaxrl_imports_downwards(file):
    for name in imports(file):
        assert not name.startswith(("envs", "experiments", "benchmarks", "tests"))
        if name.split(".")[0] == "jaxrl":
            assert HEIGHT[name] < HEIGHT[module_name(file)], f"{module_name(file)} imports {name}"


@pytest.mark.parametrize("file", files("envs"), ids=module_name)
def test_envs_know_the_environment_contract_alone(file):
    ours = {name for name in imports(file) if name.split(".")[0] == "jaxrl"}
    assert ours <= {"jaxrl.environment", "jaxrl.errors"}


@pytest.mark.parametrize("file", files("jaxrl/statistics"), ids=module_name)
def test_statistics_need_numpy_scipy_and_pandas_alone(file):
    outside = {name.split(".")[0] for name in imports(file)} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "scipy", "pandas", "jaxrl"}


# What a run's bits may depend on; a study that was begun with other code of these is not continued.
TRAINS = {
    *("algorithm.py", "checkpoints.py", "compilation_cache.py", "config.py", "cores.py", "distributions.py"),
    *("engine.py", "environment.py", "errors.py", "evaluate.py", "folder.py", "generators.py"),
    *("interruption.py", "memory.py", "mesh.py", "networks.py", "normalise.py", "plan.py", "registry.py"),
    *("replay.py", "returns.py", "schedules.py", "shuffle.py", "study.py", "tables.py", "training.py"),
    "version.py",
}


def test_every_module_either_trains_or_only_reads_results():
    """A new one counts as training, so that changing it changes the hash, until it is listed in one of both."""
    assert not TRAINS & READERS
    assert {file.name for file in (ROOT / "jaxrl").glob("*.py")} == TRAINS | READERS
    sources = {file.stem: file for file in (ROOT / "jaxrl").glob("*.py")}
    for name in sorted(TRAINS):
        used = {f"{module.removeprefix('jaxrl.')}.py" for module in imports(sources[Path(name).stem])}
        assert used & READERS <= {"results.py", "text.py"}, f"{name} imports what only reads results"


def loaded(statement):
    """The modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_import_jaxrl_loads_nothing_heavy():
    assert not loaded("import jaxrl") & {"gymnax", "pandas", "matplotlib", "plotly", "orbax", "scipy"}


def test_training_loads_no_gymnax():
    """Nor Gymnasium, though the registry knows the doors to both."""
    statement = "from jaxrl import train, load, registry, write_report; import envs; registry.doors()"
    assert not loaded(statement) & {"gymnax", "gymnasium"}


def test_the_command_line_answers_before_jax_is_loaded():
    assert not loaded("import jaxrl.cli") & {"jax", "flax", "pandas"}
