"""Several devices share the batches of a study: the bits are those of one device."""

import os
import subprocess
import sys

import pytest

from jaxrl import load, registry, train
from tests.lanes import SMALL, bits, equal


def in_a_process_with_devices(devices, code):
    """What a fresh interpreter says that sees its processor as several devices."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.mark.parametrize(("name", "devices"), [("q_learning", 8), ("ppo", 2), ("sac", 2)])
def test_several_devices_give_the_bits_of_one(name, devices, tmp_path):
    """Ten runs in batches of two, side by side and one after the other."""
    algorithm, environment = SMALL[name]
    settings = {"seeds": 10, "steps": 320, "evaluate_every": 160, "evaluation_episodes": 2, "width": 2}
    out = tmp_path / "several"
    said = in_a_process_with_devices(
        devices,
        "from jaxrl import train; from tests.lanes import small;"
        f"train(*small({name!r}), out={str(out)!r}, **{settings})",
    )
    assert f"5 batches of width 2, {min(devices, 5)} at a time" in said
    several = load(out)
    one = train(algorithm, registry.environment(environment), out=tmp_path / "one", **settings)
    assert several.curves.equals(one.curves)
    for run in (0, 9):
        batch, lane = one.find(run)
        assert equal(bits(several.state(batch)[2], lane), bits(one.state(batch)[2], lane))
