"""Data flows one way: a module imports only what lies below its folder, or beside it without a circle."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The folders of jaxrl and the modules beside them, from the bottom to the top.
LAYERS = [
    "version errors text columns",
    "fields config",
    "random",
    "mdp",
    "learning",
    "registry environment algorithm",
    "algorithms",
    "presets",
    "compiled",
    "study",
    "store",
    "run",
    "statistics",
    "analysis",
    "report",
    "cli",
    "__init__ __main__",
]
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer.split()}


def module_name(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


MODULES = {module_name(file) for file in files("jaxrl")}


def imports(file):
    """Absolute names of all that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in submodules)


def height(module):
    """Of the folder that a module lies in, or of the module beside the folders."""
    _, _, inside = module.partition(".")
    return HEIGHT[inside.partition(".")[0] or "__init__"]


def test_every_folder_has_a_layer():
    assert {[*name.split("."), "__init__"][1] for name in MODULES} == set(HEIGHT)


@pytest.mark.parametrize("file", files("jaxrl"), ids=module_name)
def test_jaxrl_imports_downwards(file):
    for name in imports(file):
        assert not name.startswith(("envs", "experiments", "benchmarks", "tests"))
        if name.split(".")[0] == "jaxrl":
            assert height(name) <= height(module_name(file)), f"{module_name(file)} imports {name}"


def test_no_modules_import_each_other():
    graph = {module_name(file): MODULES & {*imports(file)} for file in files("jaxrl")}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("file", files("envs"), ids=module_name)
def test_envs_know_the_environment_contract_alone(file):
    """Beside it, constants and random numbers. envs.tabular is the name by which scripts know the solver."""
    ours = {name for name in imports(file) if name.split(".")[0] == "jaxrl"}
    solver = {"jaxrl.mdp.tabular"} if module_name(file) == "envs.tabular" else set()
    known = {"jaxrl.config", "jaxrl.environment", "jaxrl.errors", *solver}
    assert {name for name in ours if not name.startswith("jaxrl.random.")} <= known


@pytest.mark.parametrize("file", files("jaxrl/statistics"), ids=module_name)
def test_statistics_need_numpy_scipy_and_pandas_alone(file):
    outside = {name.split(".")[0] for name in imports(file)} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "scipy", "pandas", "jaxrl"}
    assert all(
        height(name) == height(module_name(file)) or name in ("jaxrl.errors", "jaxrl.columns")
        for name in imports(file)
        if name.split(".")[0] == "jaxrl"
    )


def loaded(statement):
    """The modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_import_jaxrl_loads_nothing_heavy():
    assert not loaded("import jaxrl") & {
        "gymnax",
        "pandas",
        "matplotlib",
        "obstore",
        "plotly",
        "orbax",
        "scipy",
    }


def test_training_loads_no_other_library_of_environments():
    """Though the registry knows the adapters of all."""
    statement = "from jaxrl import train, load, registry, write_report; import envs; registry.adapters()"
    suites = {"brax", "craftax", "jumanji", "mujoco", "mujoco_playground", "navix", "xminigrid"}
    assert not loaded(statement) & {"gymnax", "gymnasium", "obstore", *suites}


def test_the_command_line_answers_before_jax_is_loaded():
    assert not loaded("import jaxrl.cli") & {"jax", "flax", "pandas"}
