"""Several devices share the batches of a study: the bits are those of one device."""

import os
import re
import subprocess
import sys

import pytest

from jaxrl import load, registry, train
from tests.lanes import SMALL, bits, equal

EXCHANGE = r"\b(all-(gather|reduce|to-all)|reduce-scatter|collective-|(num_partitions|replica_count)=)"


def in_a_process_with_devices(devices, code, **variables):
    """What a fresh interpreter says that sees its processor as several devices."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)} | variables
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.mark.parametrize(("name", "devices", "batches"), [("q_learning", 8, 9), ("ppo", 2, 5), ("sac", 2, 5)])
def test_several_devices_give_the_bits_of_one(name, devices, batches, tmp_path):
    """Runs in batches of two, side by side and one after the other. No device waits for another."""
    algorithm, environment = SMALL[name]
    settings = {
        "seeds": 2 * batches,
        "steps": 320,
        "evaluate_every": 160,
        "evaluation_episodes": 2,
        "width": 2,
    }
    out = tmp_path / "several"
    said = in_a_process_with_devices(
        devices,
        "from jaxrl import train; from tests.lanes import small;"
        f"train(*small({name!r}), out={str(out)!r}, **{settings})",
        XLA_FLAGS=f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*advance.*",
    )
    programs = [file.read_text() for file in tmp_path.glob("*jit_advance.*after_optimizations.txt")]
    assert len(programs) == devices
    assert not any(re.search(EXCHANGE, program) for program in programs)
    assert f"{batches} batches of width 2, {devices} at a time" in said
    several = load(out)
    one = train(algorithm, registry.environment(environment), out=tmp_path / "one", **settings)
    assert several.curves.equals(one.curves)
    for run in (0, 2 * batches - 1):
        batch, lane = one.find(run)
        assert equal(bits(several.state(batch)[2], lane), bits(one.state(batch)[2], lane))


def test_a_program_that_devices_share_would_be_noticed():
    program = in_a_process_with_devices(
        2,
        "import jax, sys; from jax.sharding import NamedSharding, PartitionSpec;"
        "lanes = NamedSharding(jax.make_mesh((2,), ('lanes',)), PartitionSpec('lanes'));"
        "numbers = jax.device_put(jax.numpy.ones(4), lanes);"
        "print(jax.jit(jax.numpy.sum).lower(numbers).compile().as_text(), file=sys.stderr)",
    )
    assert {match[0] for match in re.finditer(EXCHANGE, program)} == {"all-reduce", "num_partitions="}
