"""The machine, the versions and the hashes of the code with which a study is trained."""

import contextlib
import hashlib
import importlib.metadata
import inspect
import os
import platform
import sys
from pathlib import Path
from typing import Any

import jax

from jaxrl.config import Config
from jaxrl.errors import printable

# Entries of `machine` on which bits may depend. A resumed study must have the same.
BINDING = ("code", "jax", "jaxlib", "flax", "optax", "device", "xla_flags", "x64")
# jax's own switches on which bits may depend, with their defaults. The manifest holds those that differ.
# jax_threefry_partitionable and jax_default_matmul_precision are not among them, because the engine sets
# both, nor is jax_enable_x64, which is refused.
SWITCHES = {
    "eager_constant_folding": "False",
    "jax_compiler_enable_remat_pass": "True",
    "jax_custom_jvp3": "False",
    "jax_custom_vjp3": "False",
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": "False",
    "jax_disable_most_optimizations": "False",
    "jax_embedded_constants_max_bytes": "32",
    "jax_enable_pgle": "False",
    "jax_error_checking_behavior_divide": "ignore",
    "jax_error_checking_behavior_nan": "ignore",
    "jax_error_checking_behavior_oob": "ignore",
    "jax_exec_time_optimization_effort": "0.0",
    "jax_explicit_x64_dtypes": "WARN",
    "jax_high_dynamic_range_gumbel": "False",
    "jax_memory_fitting_effort": "0.0",
    "jax_memory_fitting_level": "O2",
    "jax_optimization_level": "UNKNOWN",
    "jax_pallas_use_mosaic_gpu": "True",
    "jax_pjrt_client_create_options": "None",
    "jax_ragged_dot_use_gpu_pallas_triton_lowering": "False",
    "jax_ragged_dot_use_ragged_dot_instruction": "True",
    "jax_random_seed_offset": "0",
    "jax_refs_to_pins": "False",
    "jax_remat3": "False",
    "jax_remat_barrier_no_cotangents": "False",
    "jax_scan3": "False",
    "jax_softmax_custom_jvp": "False",
    "jax_use_direct_linearize": "True",
    "jax_use_hlo_logistic_lowering": "None",
    "jax_use_magma": "auto",
    "jax_use_shardy_partitioner": "True",
    "jax_use_simplified_jaxpr_constants": "False",
    "jax_xla_profile_version": "0",
}
# Variables of the process with the same effect, which CUDA's libraries and the compiler for TPUs read.
VARIABLES = (
    "CUBLAS_EMULATE_SINGLE_PRECISION",
    "CUBLAS_EMULATION_STRATEGY",
    "CUBLAS_WORKSPACE_CONFIG",
    "LIBTPU_INIT_ARGS",
    "NVIDIA_TF32_OVERRIDE",
)
DEFAULTS = SWITCHES | dict.fromkeys(VARIABLES, "")
# Folders of this package whose code changes no bit of a run.
READERS = {"statistics", "analysis", "report", "cli"}


def machine() -> dict[str, str]:
    """The machine and the versions, for the manifest.

    Bits may depend on the BINDING entries and on those of DEFAULTS, which are left out where they have their
    default.
    """
    device = jax.devices()[0]
    found = {
        "code": source_hash(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
        "platform": platform.platform(),
        "flax": importlib.metadata.version("flax"),
        "optax": importlib.metadata.version("optax"),
        "device": _processor() if device.platform == "cpu" else device.device_kind,
        "devices": str(jax.local_device_count()),
        "cores": str(os.cpu_count()),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "x64": str(jax.config.values["jax_enable_x64"]),
    }
    found |= {name: text for name, text in _switches().items() if text != DEFAULTS[name]}
    return {name: printable(text) for name, text in found.items()}


def _switches() -> dict[str, str]:
    """The switches of DEFAULTS as text. A switch that this jax does not have is at its default."""
    values = {name: jax.config.values.get(name, default) for name, default in SWITCHES.items()}
    shown = {name: str(getattr(value, "name", value)) for name, value in values.items()}
    return shown | {name: os.environ.get(name, "") for name in VARIABLES}


def _processor() -> str:
    """The processor's model, which determines the instructions that XLA chooses."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "cpu"


def code_hash(config: Config) -> str:
    """A hash of the code that a config runs: the modules of its class, its bases and its components.

    It includes the versions of their `packages`. A base without a source file is left out.
    """
    configs = [config, *(value for value in config.parameters().values() if isinstance(value, Config))]
    sources: dict[str, None] = {}  # of each module once, in order
    for ancestor in [ancestor for each in configs for ancestor in type(each).__mro__]:
        with contextlib.suppress(OSError, TypeError):
            sources[inspect.getsource(_source_of(ancestor))] = None
    packages = dict.fromkeys(package for each in configs for package in each.packages)
    versions = [importlib.metadata.version(package) for package in packages]
    return hashlib.sha256("".join([*sources, *versions]).encode()).hexdigest()[:16]


def _source_of(cls: type) -> Any:
    """The module of a class, since the class uses the module's helpers and constants.

    Returns the class itself if the module has no file or is the script that runs, since a script also says
    what is trained.
    """
    module = sys.modules.get(cls.__module__)
    has_file = getattr(module, "__file__", None) is not None
    return module if has_file and cls.__module__ != "__main__" else cls


def source_hash() -> str:
    """A hash of the source of this package, without the folders in READERS."""
    root = Path(__file__).parents[1]
    files = sorted(file for file in root.rglob("*.py") if file.relative_to(root).parts[0] not in READERS)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
