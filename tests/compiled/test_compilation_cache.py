"""The cache is switched on by scripts and the command line, never at import, and lies in the user's folder."""

import os
import subprocess
import sys
from pathlib import Path

from jaxrl.compiled import compilation_cache


def entries(statement, home):
    """What a fresh interpreter leaves in the user's cache folder."""
    long_enough = "sum(jax.random.permutation(jax.random.key(i), 99) for i in range(9))"  # to be kept
    code = f"{statement}\nimport jax; jax.jit(lambda: {long_enough})()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home)}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True, timeout=120)
    return [file for file in home.rglob("*") if file.is_file()]


def test_import_writes_nothing(tmp_path):
    assert entries("import envs; from jaxrl import train; import jaxrl.cli", tmp_path) == []


def test_switched_on_it_keeps_programs(tmp_path):
    assert entries("import jaxrl; jaxrl.enable_compilation_cache()", tmp_path)


NOBODY = (
    "import os, pwd\n"
    "def getpwuid(_): raise KeyError\n"
    "pwd.getpwuid = getpwuid\n"
    "for name in ('HOME', 'XDG_CACHE_HOME'): os.environ.pop(name, None)\n"
    "import jaxrl"
)


def test_without_a_home_folder_nothing_is_kept(tmp_path, monkeypatch):
    """As in a container whose user id has no entry."""
    monkeypatch.chdir(tmp_path)
    assert entries(f"{NOBODY}; jaxrl.enable_compilation_cache()", tmp_path) == []


def test_no_folder_is_made_whose_name_is_a_tilde(tmp_path, monkeypatch):
    """Older versions of platformdirs leave an unknown home folder as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        compilation_cache.platformdirs, "user_cache_path", lambda name: Path("~/.cache") / name
    )
    assert compilation_cache._users_folder() is None
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_may_only_be_read_is_not_used(tmp_path, monkeypatch):
    """Root may write into any folder."""
    monkeypatch.setattr(compilation_cache.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    assert compilation_cache._users_folder() == tmp_path / "jaxrl" / "compiled"
    monkeypatch.setattr(compilation_cache.os, "access", lambda *_: False)
    assert compilation_cache._users_folder() is None


def test_with_a_home_folder_that_cannot_be_written_nothing_is_kept(tmp_path):
    home = tmp_path / "file"
    home.touch()
    assert entries("import jaxrl; jaxrl.enable_compilation_cache()", home) == []
