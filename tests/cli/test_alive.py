import contextlib
import io
import time

import pytest

from jaxrl.cli import alive as module
from jaxrl.cli import reading
from jaxrl.cli.alive import alive
from jaxrl.cli.commands import main


@pytest.mark.parametrize(
    ("command", "doing"), [("compare", "comparing settings"), ("report", "writing the report")]
)
def test_commands_that_compute_show_a_sign_of_life(command, doing, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(reading, "alive", lambda text: contextlib.nullcontext(shown.append(text)))
    with pytest.raises(SystemExit):
        main([command, str(tmp_path)])
    assert shown == [doing]


def test_a_long_computation_shows_lines_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.01)
    with alive("comparing settings"):
        until = time.monotonic() + 60
        while not (printed := capsys.readouterr().err) and time.monotonic() < until:
            time.sleep(0.01)
    assert printed.startswith("comparing settings, for 0 s so far")


def test_a_short_computation_shows_nothing_there(capsys):
    with pytest.raises(ValueError, match="a mistake"), alive("comparing settings"):
        raise ValueError("a mistake")
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_spinner(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with alive("comparing settings"):
        time.sleep(0.2)
    assert "comparing settings" in module.sys.stderr.getvalue()
