import gc
from pathlib import Path

import jax
import pytest

jax.devices()  # The backend starts with one device, before a test of the command line asks for all cores.

# Of memory, each of which a compiled program takes several. Linux gives a process 65,530, and XLA aborts beyond.
MOST_MAPS = 15_000
MAPS = Path("/proc/self/maps")


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()
