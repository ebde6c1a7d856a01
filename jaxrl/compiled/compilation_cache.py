"""jax's persistent compilation cache, in the user's cache folder."""

import jax
import platformdirs


def enable_compilation_cache() -> None:
    """Keeps compiled programs between processes. For scripts and the command line, never at import.

    A folder that is already set, as by JAX_COMPILATION_CACHE_DIR, is used.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        folder = platformdirs.user_cache_path("jaxrl") / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
