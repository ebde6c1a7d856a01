"""Reinforcement learning research in JAX: hundreds of seeds as one compiled program."""

import importlib
from typing import TYPE_CHECKING, Any

from jaxrl.version import VERSION as __version__

if TYPE_CHECKING:
    from jaxrl.analysis.compare import compare
    from jaxrl.analysis.export import export
    from jaxrl.analysis.select import select
    from jaxrl.compiled.compilation_cache import enable_compilation_cache
    from jaxrl.compiled.cores import use_all_cores
    from jaxrl.config import grid
    from jaxrl.errors import InputError
    from jaxrl.presets import preset
    from jaxrl.report import write_report
    from jaxrl.run.train import resume, train
    from jaxrl.run.work import plan, work
    from jaxrl.store.policy import Policy
    from jaxrl.store.results import Results, load
    from jaxrl.store.settings_file import read_settings, write_settings

# Loaded at first use: pandas and the report's libraries would double the time of `import jaxrl`.
_HOMES = {
    "InputError": "jaxrl.errors",
    "Policy": "jaxrl.store.policy",
    "Results": "jaxrl.store.results",
    "compare": "jaxrl.analysis.compare",
    "enable_compilation_cache": "jaxrl.compiled.compilation_cache",
    "export": "jaxrl.analysis.export",
    "grid": "jaxrl.config",
    "load": "jaxrl.store.results",
    "plan": "jaxrl.run.work",
    "preset": "jaxrl.presets",
    "read_settings": "jaxrl.store.settings_file",
    "resume": "jaxrl.run.train",
    "select": "jaxrl.analysis.select",
    "train": "jaxrl.run.train",
    "use_all_cores": "jaxrl.compiled.cores",
    "work": "jaxrl.run.work",
    "write_report": "jaxrl.report",
    "write_settings": "jaxrl.store.settings_file",
}

__all__ = [
    "InputError",
    "Policy",
    "Results",
    "__version__",
    "compare",
    "enable_compilation_cache",
    "export",
    "grid",
    "load",
    "plan",
    "preset",
    "read_settings",
    "resume",
    "select",
    "train",
    "use_all_cores",
    "work",
    "write_report",
    "write_settings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxrl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
