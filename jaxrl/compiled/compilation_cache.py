"""jax's persistent compilation cache, in the user's cache folder."""

import os
from pathlib import Path

import jax
import platformdirs


def enable_compilation_cache() -> None:
    """Keeps compiled programs between processes. For scripts and the command line, never at import.

    A folder that is already set, as by JAX_COMPILATION_CACHE_DIR, is used. Nothing is kept if none is set and
    the user has no folder for it, as in a container without HOME or with one that is read-only.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None and (folder := _users_folder()) is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _users_folder() -> Path | None:
    """The folder in the user's cache folder, None if it cannot be written."""
    try:
        folder = platformdirs.user_cache_path("jaxrl") / "compiled"
        if folder.is_absolute():  # older versions of platformdirs leave an unknown home folder as "~"
            folder.mkdir(parents=True, exist_ok=True)
            return folder if os.access(folder, os.W_OK) else None
    except (RuntimeError, OSError):  # no home folder, or one that cannot be written
        pass
    return None
