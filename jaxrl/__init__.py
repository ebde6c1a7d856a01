"""Reinforcement learning research in JAX: hundreds of seeds as one compiled program."""

import importlib
from typing import TYPE_CHECKING, Any

from jaxrl.version import VERSION as __version__

if TYPE_CHECKING:
    from jaxrl.compilation_cache import enable_compilation_cache
    from jaxrl.config import grid
    from jaxrl.errors import InputError
    from jaxrl.report import write_report
    from jaxrl.results import Results, load
    from jaxrl.training import train

# Loaded at first use: pandas and the report's libraries would double the time of `import jaxrl`.
_HOMES = {
    "InputError": "jaxrl.errors",
    "Results": "jaxrl.results",
    "enable_compilation_cache": "jaxrl.compilation_cache",
    "grid": "jaxrl.config",
    "load": "jaxrl.results",
    "train": "jaxrl.training",
    "write_report": "jaxrl.report",
}

__all__ = [
    "InputError",
    "Results",
    "__version__",
    "enable_compilation_cache",
    "grid",
    "load",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxrl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
