"""Batches of 64 PPO seeds finish, process after process: a batched QR once blocked XLA's threads for ever."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_twenty_processes_in_a_row_finish(tmp_path):
    for i in range(20):
        command = f"jaxrl train ppo CartPole-v1 --seeds {64 * i}:{64 * (i + 1)} --steps 20480 --out {tmp_path / str(i)}"
        subprocess.run([sys.executable, "-m", *command.split()], check=True, timeout=150, capture_output=True)
