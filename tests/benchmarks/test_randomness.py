"""The benchmark of randomness: its streams hold what they say, and dieharder's answers are read."""

import io
import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from rich.console import Console
from scipy import stats

from benchmarks import randomness
from jaxrl.errors import InputError
from jaxrl.random.generators import GENERATORS

KEY = random.key(0, impl=GENERATORS["pcg4x32"])


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(randomness, "LEVELS", 2)
    monkeypatch.setattr(randomness, "BLOCK", 16)
    monkeypatch.setattr(randomness, "LANES", 4)


def first_words(stream, count):
    blocks = randomness.blocks_of(jax.jit(randomness.STREAMS[stream]), KEY)
    return list(itertools.islice(itertools.chain.from_iterable(blocks), count))


def word(key, of=1, index=0):
    return random.bits(key, (of,))[index]


@pytest.mark.usefixtures("small_blocks")
def test_streams_are_what_they_say():
    first, second = random.fold_in(KEY, 0), random.fold_in(KEY, 1)
    assert first_words("single", 32) == [*random.bits(first, (16,)), *random.bits(second, (16,))]
    assert first_words("fold_in chain", 32) == [word(random.fold_in(KEY, t)) for t in range(32)]
    seeds = [random.fold_in(random.fold_in(KEY, seed), 0) for seed in range(4)]
    assert first_words("lanes", 16) == [word(seed, 4, index) for index in range(4) for seed in seeds]
    leaves = [leaf for child in random.split(first, 4) for leaf in random.split(child, 4)]
    assert first_words("split tree", 16) == [word(leaf) for leaf in leaves]


def test_flips_are_counted_for_each_bit():
    changed = jnp.array([0b11, 0b01, 0b01, 0b01], jnp.uint32)
    np.testing.assert_array_equal(randomness.flip_scores(changed)[:3], [2, -1, -2])


def test_correlated_seeds_are_found(monkeypatch):
    words = np.random.default_rng(0).integers(0, 2**32, (randomness.LANES, 256))
    words[900] = words[7] // 2 + words[8] // 2
    monkeypatch.setattr(randomness, "lane_words", lambda *_: words)
    assert np.abs(randomness.correlation_of_seeds(KEY, 2**14)).max() > 10


def test_dieharder_is_read_to_its_end(monkeypatch, tmp_path):
    """It leaves the rest of a block unread and reports any number of tests."""
    (tmp_path / "output").write_text(
        "runs,2,1000\n# p-values\n,0.1,\n,0.3,\n,0.6,\n#\n\nruns,3,1000\n#\n,0.0,\n"
    )
    program = tmp_path / "dieharder"
    program.write_text(f"#!/bin/sh\nhead -c 100 >/dev/null\ncat {tmp_path}/output\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    blocks = itertools.repeat(np.zeros(100_000, np.uint32))
    first, second = randomness.dieharder("-d 101", blocks)
    common = {"options": "-d 101", "test": "runs", "tsamples": 1_000}
    assert first == {
        **common,
        "ntuple": 2,
        "psamples": 3,
        "p": stats.kstest([0.1, 0.3, 0.6], "uniform").pvalue,
    }
    assert second == {**common, "ntuple": 3, "psamples": 1, "p": 0}


def test_tests_are_counted_by_their_p():
    results = [{"options": str(run), "p": p} for run, p in enumerate([1e-9, 0.003, 0.004, 0.3, 0.5, 0.7])]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(randomness.report([{"generator": "dice", "stream": "thrown", "results": results}]))
    assert "dice       thrown  6      2     1       1e-09, 0.003, 0.004" in console.export_text()


def test_without_dieharder_there_is_one_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="randomness needs dieharder: install the package of that name"):
        next(randomness.measure(smoke=False, only="lanes"))
