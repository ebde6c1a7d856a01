"""Reinforcement learning research in JAX: hundreds of seeds as one compiled program."""

import importlib
from typing import TYPE_CHECKING, Any

from jaxrl.version import VERSION as __version__

if TYPE_CHECKING:
    from jaxrl.comparing import compare
    from jaxrl.compilation_cache import enable_compilation_cache
    from jaxrl.config import grid
    from jaxrl.cores import use_all_cores
    from jaxrl.errors import InputError
    from jaxrl.exporting import export
    from jaxrl.report import write_report
    from jaxrl.results import Results, load
    from jaxrl.selecting import select
    from jaxrl.training import resume, train

# Loaded at first use: pandas and the report's libraries would double the time of `import jaxrl`.
_HOMES = {
    "InputError": "jaxrl.errors",
    "Results": "jaxrl.results",
    "compare": "jaxrl.comparing",
    "enable_compilation_cache": "jaxrl.compilation_cache",
    "export": "jaxrl.exporting",
    "grid": "jaxrl.config",
    "load": "jaxrl.results",
    "resume": "jaxrl.training",
    "select": "jaxrl.selecting",
    "train": "jaxrl.training",
    "use_all_cores": "jaxrl.cores",
    "write_report": "jaxrl.report",
}

__all__ = [
    "InputError",
    "Results",
    "__version__",
    "compare",
    "enable_compilation_cache",
    "export",
    "grid",
    "load",
    "resume",
    "select",
    "train",
    "use_all_cores",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxrl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
