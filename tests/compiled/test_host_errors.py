"""What Python code raises inside a compiled program is one sentence with the line of that code."""

import inspect

import jax
import jax.numpy as jnp
import pytest

from envs import FrozenLake
from jaxrl import InputError, train
from jaxrl.algorithms import QLearning
from jaxrl.compiled.host_errors import explained
from jaxrl.errors import users_line


def thrown(_):
    raise KeyError("no such key")


class Broken(FrozenLake):
    """Its observations come from Python code that raises."""

    def observe(self, state):
        return jax.pure_callback(thrown, jax.ShapeDtypeStruct((), jnp.int32), state, vmap_method="sequential")


def test_an_environment_that_raises_is_one_sentence(tmp_path, capsys, caplog):
    line = inspect.getsourcelines(thrown)[1] + 1
    sentence = (
        rf"^KeyError: 'no such key' \({__file__}, line {line}\), in Python code that the compiled program"
    )
    with pytest.raises(InputError, match=sentence) as told:
        train(QLearning(), Broken(), seeds=1, steps=10, out=tmp_path)
    assert isinstance(told.value.__context__, jax.errors.JaxRuntimeError)
    assert told.value.__suppress_context__
    assert "Traceback" not in capsys.readouterr().err
    assert caplog.records == []  # jax would tell it too


def test_a_full_device_is_one_sentence():
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nMore.")
    told = explained(full)
    assert str(told).startswith(
        "the device's memory is full: RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.;"
    )


def test_other_errors_stay_as_they_are():
    for error in (KeyError("a"), jax.errors.JaxRuntimeError("INTERNAL: a bug")):
        assert explained(error) is error


def test_the_line_of_a_user_is_the_innermost_that_is_not_of_a_library():
    library = (f"{jax.__path__[0]}/_src/api.py", 7)
    assert users_line([("mine.py", 3), library]) == "mine.py, line 3"
    assert users_line([("mine.py", 3), ("other.py", 4), (inspect.__file__, 5), library]) == "other.py, line 4"
    assert users_line([library]) == f"{library[0]}, line 7"
