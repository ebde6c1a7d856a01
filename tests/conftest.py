import gc

import jax
import pytest

jax.devices()  # The backend starts with one device, before a test of the command line asks for all cores.


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Each takes maps of memory, of which a process may have 65,530 on Linux; XLA aborts beyond."""
    yield
    jax.clear_caches()
    gc.collect()
