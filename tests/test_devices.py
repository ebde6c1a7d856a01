"""Several devices share the lanes of a batch: bits that do not depend on their number, and no exchange."""

import os
import subprocess
import sys

import pytest

from envs import GridWorld
from jaxrl import load, train
from jaxrl.algorithms import QLearning

DEVICES = 8
SETTINGS = {"seeds": 10, "steps": 400, "evaluate_every": 200, "evaluation_episodes": 2, "width": 2}


def with_devices(code, devices=DEVICES):
    """What a fresh interpreter prints that sees its processor as several devices."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def test_a_table_learns_the_same_as_on_one_device(tmp_path):
    """Ten runs in lanes for sixteen, beside five batches of two on one device."""
    out = tmp_path / "several"
    _, said = with_devices(
        "from envs import GridWorld; from jaxrl import train; from jaxrl.algorithms import QLearning;"
        f"train(QLearning(), GridWorld(), out={str(out)!r}, **{SETTINGS})"
    )
    assert "10 runs, 1 program, 1 batch of width 2 on each of 8 devices" in said
    several, one = load(out), train(QLearning(), GridWorld(), out=tmp_path / "one", **SETTINGS)
    assert (several.manifest["plan"]["batches"], one.manifest["plan"]["batches"]) == (1, 5)
    assert several.curves.equals(one.curves)


@pytest.mark.parametrize("name", ["ppo", "dqn", "sac"])
def test_bits_do_not_depend_on_how_many_devices_there_are(name):
    """Every leaf of the final states of four runs, two lanes a device, on two devices and on eight."""
    code = f"""
import numpy as np
from jaxrl.plan import Run, make_plan
from tests.lanes import bits, small, trained
algorithm, env = small({name!r})
(batch,) = make_plan([Run(i, env, algorithm, i) for i in range(4)], width=2).batches
print(batch.devices, [leaf.tobytes().hex()[:4000] for leaf in bits(trained(batch, 30), slice(0, 4))])
"""
    (two, _), (eight, _) = with_devices(code, 2), with_devices(code, 8)
    assert two.startswith("2 ")
    assert eight.startswith("8 ")
    assert two[2:] == eight[2:]


@pytest.mark.parametrize("name", ["ppo", "dqn", "sac"])
def test_the_devices_exchange_nothing(name):
    code = f"""
import jax
from jaxrl.plan import Run, make_plan
from jaxrl.training import advance, initialise
from tests.lanes import small
algorithm, env = small({name!r})
(batch,) = make_plan([Run(i, env, algorithm, i) for i in range(16)]).batches
algorithms, envs, keys, _ = batch.lanes("threefry2x32")
state = jax.eval_shape(initialise, algorithms, envs, keys)
print(batch.width, batch.devices)
print(advance.lower(algorithms, envs, state, 0, 10, 100).compile().as_text())
"""
    printed, _ = with_devices(code)
    assert printed.startswith(f"2 {DEVICES}")
    assert f"num_partitions={DEVICES}" in printed
    for collective in (
        "all-reduce",
        "all-gather",
        "all-to-all",
        "collective",
        "reduce-scatter",
        "send",
        "recv",
    ):
        assert f" {collective}" not in printed
