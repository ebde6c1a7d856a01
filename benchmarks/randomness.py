"""Tests of the generators' bits: neighbouring seeds and times, avalanche, and dieharder's tests.

The control is pcg4d without pcg4x32's finaliser. It shows what the tests can find.

Each of dieharder's tests draws p-values, which are uniform if the bits are random. Dieharder checks this with
a Kolmogorov-Smirnov test whose steps are i / (n + 1), which is too lenient for few p-values. Therefore the
p-values are read from its output and tested here.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from rich.console import Group
from rich.table import Table
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.random import generators
from jaxrl.random.generators import GENERATORS

Row = dict[str, Any]
Stream = Callable[[Array, Array], Array]

LEVELS = 11  # of a tree of splits into four, whose leaves are as many as the words of a block
BLOCK = 4**LEVELS  # words of a stream that are computed at once
LANES = 1_024
LAGS = 64
CONTROL = "pcg4d alone"

WEAK, FAILED = 0.01, 1e-6  # p-values below are weak, or failed; random bits are weak in one test of 100

# The numbers of all tests that dieharder calls good, by the number of p-values that each collects.
TESTS = {
    100: (0, 4, 8, 10, 11, 12, 15, 100, 204),
    20: (1, 2, 3, 9, 13, 16, 101, 102, 200, 201, 202),
    10: (17, 203),
    1: (205, 206, 207, 208, 209),
}
TUPLES = {200: range(1, 13), 201: range(2, 6), 202: range(2, 6), 203: (0, 1, 3, 7)}
FIELDS = ("test_name", "ntuple", "tsamples", "65536")  # the last is psample_values, known only by its number


def measure(smoke: bool, only: str) -> Iterator[Row]:
    """A row for each generator and comparison, and unless `smoke` for each stream, with `only` in its name.

    Raises InputError if dieharder is needed and not installed.
    """
    work = [(name, stream) for name in GENERATORS for stream in STREAMS] + [(CONTROL, "counter")]
    chosen = [(name, stream) for name, stream in work if only in f"{name} {stream}" and not smoke]
    if chosen and not shutil.which("dieharder"):
        raise InputError("the benchmark randomness needs dieharder: install the package of that name")
    yield from comparisons(2**14 if smoke else 2**20, only)
    for name, stream in chosen:
        start = time.monotonic()
        key = random.key(0, impl=GENERATORS.get(name))
        answers = battery(STREAMS.get(stream, control), key)
        yield {"generator": name, "stream": stream, "seconds": time.monotonic() - start, "results": answers}


def report(rows: list[Row]) -> Group:
    """Tables of the comparisons, of the streams, and of tests that each generator's p-values are uniform."""
    compared = Table("generator", "", "values", "largest |z|", "p", box=None)
    tested = Table("generator", "stream", "tests", "weak", "failed", "smallest p", box=None)
    uniform = Table("generator", "p-values", "uniform: p", box=None)
    firsts: dict[str, list[float]] = {}
    for row in rows:
        if "comparison" in row:
            numbers = f"{row['values']:,}", f"{row['largest_z']:.2f}", f"{row['p']:.2g}"
            compared.add_row(row["generator"], row["comparison"], *numbers)
            continue
        p = sorted(result["p"] for result in row["results"])
        weak, failed = sum(FAILED <= each < WEAK for each in p), sum(each < FAILED for each in p)
        smallest = ", ".join(f"{each:.2g}" for each in p[:3])
        tested.add_row(row["generator"], row["stream"], str(len(p)), str(weak), str(failed), smallest)
        # The p-values of one run share its words. The first ones of different runs are independent.
        first = {result["options"]: result["p"] for result in reversed(row["results"])}
        firsts.setdefault(row["generator"], []).extend(first.values())
    for name, values in firsts.items():
        uniform.add_row(name, str(len(values)), f"{stats.kstest(values, 'uniform').pvalue:.2g}")
    note = f"weak: p below {WEAK}, one test in a hundred if bits are random; failed: below {FAILED}"
    tables = [table for table in (compared, tested, uniform) if table.row_count]
    return Group(*tables, *([note] if firsts else []))


def comparisons(size: int, only: str) -> Iterator[Row]:
    """A row with the largest z score of each generator and comparison whose name contains `only`.

    Each uses about `size` words or inputs. `p` is the probability that the largest of as many independent z
    scores is at least as large.
    """
    work: list[tuple[str, str, Callable[[], Array]]] = [
        (name, comparison, partial(scores, random.key(0, impl=impl), size))
        for name, impl in GENERATORS.items()
        for comparison, scores in COMPARISONS.items()
    ]
    work += [
        (name, f"avalanche, inputs below 2^{bits}", partial(avalanche, mixer, bits, size))
        for name, mixer in MIXERS.items()
        for bits in (32, 12)
    ]
    for name, comparison, call in work:
        if only in f"{name} {comparison}":
            z = np.abs(np.ravel(call()))
            p = -np.expm1(z.size * np.log1p(-2 * stats.norm.sf(z.max())))
            numbers = {"values": z.size, "largest_z": float(z.max()), "p": float(p)}
            yield {"generator": name, "comparison": comparison, **numbers}


def correlation_of_seeds(key: Array, size: int) -> Any:
    """z scores of the correlations of all pairs of seeds."""
    words = np.asarray(lane_words(key, 0, size // 64))
    pairs = np.triu_indices(LANES, k=1)
    return correlation_score(np.corrcoef(words)[pairs], words.shape[1])


def bits_of_seeds(key: Array, size: int) -> Array:
    """z scores of how often each bit of a word differs between neighbours: [32]."""
    words = lane_words(key, 0, size // 64)
    return flip_scores((words[1:] ^ words[:-1]).ravel())


def correlation_of_times(key: Array, size: int) -> Any:
    """z scores of the correlations at each lag."""
    words = np.asarray(time_words(key, jnp.arange(size)))
    r = [np.corrcoef(words[:-lag], words[lag:])[0, 1] for lag in range(1, LAGS + 1)]
    return correlation_score(np.asarray(r), size - LAGS)


def bits_of_times(key: Array, size: int) -> Array:
    """z scores of how often each bit of a word differs between neighbours: [32]."""
    words = time_words(key, jnp.arange(size))
    return flip_scores(words[1:] ^ words[:-1])


@partial(jax.jit, static_argnums=(0, 1, 2))
def avalanche(mixer: Callable[[Any], generators.Words], bits: int, size: int) -> Array:
    """z scores of how often each output bit changes with each input bit: [128, 128].

    The inputs are random in their `bits` low bits and zero above.
    """
    inputs = random.bits(random.key(0), (4, size)) >> (32 - bits)

    def changes(bit: Array) -> Array:
        flipped = inputs.at[bit // 32].set(inputs[bit // 32] ^ (jnp.uint32(1) << bit % 32))
        pairs = zip(mixer(inputs), mixer(flipped), strict=True)
        return jnp.concatenate([flip_scores(one ^ other) for one, other in pairs])

    return lax.map(changes, jnp.arange(128, dtype=jnp.uint32))


def flip_scores(changed: Array) -> Array:
    """z scores of how often each bit is set in words [n], where half of the time is expected: [32]."""
    counts = lax.map(lambda bit: ((changed >> bit) & 1).sum(), jnp.arange(32, dtype=jnp.uint32))
    return (counts - changed.size / 2) / (changed.size / 4) ** 0.5


def correlation_score(r: np.ndarray, samples: int) -> np.ndarray:
    """Fisher's z, in standard errors."""
    return np.arctanh(r) * np.sqrt(samples - 3)


COMPARISONS: dict[str, Callable[[Array, int], Any]] = {
    f"correlation of {LANES:,} seeds": correlation_of_seeds,
    "bits of neighbouring seeds": bits_of_seeds,
    f"correlation of fold_in t and t + 1 to t + {LAGS}": correlation_of_times,
    "bits of fold_in t and t + 1": bits_of_times,
}

MIXERS: dict[str, Callable[[Any], generators.Words]] = {
    "pcg4x32": lambda inputs: generators.block(inputs[:2], inputs[2], inputs[3]),
    CONTROL: lambda inputs: generators.pcg4d(*inputs),
}


def lane_words(key: Array, index: int | Array, count: int) -> Array:
    """`count` words of each of LANES neighbouring seeds: [LANES, count]."""
    keys = jax.vmap(random.fold_in, (None, 0))(key, jnp.arange(LANES))
    keys = jax.vmap(random.fold_in, (0, None))(keys, index)
    return jax.vmap(lambda lane: random.bits(lane, (count,)))(keys)


def time_words(key: Array, times: Array) -> Array:
    """A word of fold_in(key, t) for each time t."""
    return jax.vmap(lambda t: random.bits(random.fold_in(key, t)))(times)


def single(key: Array, index: Array) -> Array:
    """Successive words of a key. Each block has another key, since a call begins with a key's first word."""
    return random.bits(random.fold_in(key, index), (BLOCK,))


def lanes(key: Array, index: Array) -> Array:
    """A word of each seed in turn."""
    return lane_words(key, index, BLOCK // LANES).T.ravel()


def fold_in_chain(key: Array, index: Array) -> Array:
    """A word of fold_in(key, t) for t = 0, 1, 2, ...; t starts again at 2^32."""
    return time_words(key, index * BLOCK + jnp.arange(BLOCK, dtype=jnp.uint32))


def split_tree(key: Array, index: Array) -> Array:
    """A word of each leaf of a tree in which every key is split into four. Each block has its own tree."""
    keys = random.fold_in(key, index)[None]
    for _ in range(LEVELS):
        keys = jax.vmap(lambda parent: random.split(parent, 4))(keys).ravel()
    return jax.vmap(random.bits)(keys)


def control(_: Array, index: Array) -> Array:
    """All four words of pcg4d for each counter in turn. The other inputs are zero."""
    counter = index * (BLOCK // 4) + jnp.arange(BLOCK // 4, dtype=jnp.uint32)
    zero = jnp.zeros_like(counter)
    return jnp.stack(generators.pcg4d(zero, zero, counter, zero), axis=-1).ravel()


STREAMS: dict[str, Stream] = {
    "single": single,
    "lanes": lanes,
    "fold_in chain": fold_in_chain,
    "split tree": split_tree,
}


def battery(stream: Stream, key: Array) -> list[Row]:
    """The results of every test on a stream. Each test reads other words of it."""
    blocks = blocks_of(jax.jit(stream), key)
    return [
        result
        for psamples, tests in TESTS.items()
        for test in tests
        for length in TUPLES.get(test, (0,))
        for result in dieharder(f"-d {test} -p {psamples} -n {length}", blocks)
    ]


def blocks_of(stream: Stream, key: Array) -> Iterator[np.ndarray]:
    """The blocks of an endless stream. Each is computed while the one before is read."""
    ahead = stream(key, jnp.uint32(0))
    for index in count(1):
        block, ahead = ahead, stream(key, jnp.uint32(index))
        yield np.asarray(block)


def dieharder(options: str, blocks: Iterator[np.ndarray]) -> list[Row]:
    """The results of one run of dieharder, which reads whole blocks. Raises RuntimeError if it fails."""
    flags = [word for field in (*FIELDS, "no_whitespace") for word in ("-D", field)]
    command = ["dieharder", "-g", "200", *options.split(), *flags, "-c", ","]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError), process.stdin as pipe:  # it breaks when dieharder has read enough
            for block in blocks:
                pipe.write(block.tobytes())
        output = process.stdout.read().decode()
    if process.returncode or not output:
        raise RuntimeError(
            f"{' '.join(command)} ended with exit code {process.returncode} and said {output!r}"
        )
    return [{"options": options, **result} for result in results(output)]


def results(output: str) -> Iterator[Row]:
    """The tests in dieharder's output, which has a line for each test and then a line for each p-value."""
    tests: list[tuple[list[str], list[float]]] = []
    for line in output.splitlines():
        if line.startswith(","):
            tests[-1][1].append(float(line.strip(",")))
        elif line and not line.startswith("#"):
            tests.append((line.split(","), []))
    for (name, length, samples), values in tests:
        numbers = {"ntuple": int(length), "tsamples": int(samples), "psamples": len(values)}
        yield {"test": name, **numbers, "p": float(stats.kstest(values, "uniform").pvalue)}
