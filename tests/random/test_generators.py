"""pcg4x32 agrees with the published function and with Python's integers, and jax can use its keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from benchmarks import randomness
from jaxrl.random import generators
from jaxrl.random.generators import BITS, FOLD, GENERATORS, SPLIT

PCG = GENERATORS["pcg4x32"]
KEY = random.key(7, impl=PCG)
WORD = 2**32

# Inputs and outputs of pcg4d, as listed by Jarzynski & Olano (2020), in C with uint32_t and compiled by gcc.
PUBLISHED = [
    ((0x00000000, 0x00000000, 0x00000000, 0x00000000), (0x0F02F829, 0x2D568769, 0x32B0C43B, 0xD32548EA)),
    ((0x00000001, 0x00000002, 0x00000003, 0x00000004), (0x3622CD16, 0xF11471D8, 0xE1109B3F, 0x02B94C2F)),
    ((0x00000000, 0x00000000, 0x00000000, 0x00000001), (0x8D9EFFE2, 0xA833F3DC, 0x8246B1B2, 0x58AB6650)),
    ((0x00000001, 0x00000000, 0x00000000, 0x00000000), (0x0B3CEFC3, 0xA31DC1D5, 0x5FFBE5A5, 0x623D099E)),
    ((0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), (0x974ED892, 0xC015DC67, 0x9F955760, 0xA1BBA208)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xB1D796E4, 0xFC8E0CAE, 0x9A4185E6, 0xD0975474)),
    ((0x80000000, 0x00000000, 0x00000000, 0x80000000), (0x89CB7829, 0x925B8769, 0xD03A443B, 0x0F3148EA)),
    ((0xDEADBEEF, 0x0000002A, 0x000F4240, 0x00000002), (0xA4CF2153, 0xFB462E6C, 0x2FBBB18F, 0x5A94F3CF)),
]


def multiplied(x, y, z, w):
    x = (x + y * w) % WORD
    y = (y + z * x) % WORD
    z = (z + x * y) % WORD
    w = (w + y * z) % WORD
    return x, y, z, w


def block(key, counter, purpose):
    """The four words of a key (two integers), computed with Python's integers."""
    words = [(1664525 * word + 1013904223) % WORD for word in (*key, counter, purpose)]
    x, y, z, w = multiplied(*(word ^ (word >> 16) for word in multiplied(*words)))
    finals = [(word ^ (word >> 15)) * 0x846CA68B % WORD for word in (w, z, y, (x + y * w) % WORD)]
    return [word ^ (word >> 16) for word in finals]


def bits(key, count):
    """The first words of successive counters, then their second words, and so on."""
    blocks = [block(key, counter, BITS) for counter in range(-(-count // 4))]
    return [word for position in zip(*blocks, strict=True) for word in position][:count]


def data(key):
    return np.asarray(random.key_data(key)).tolist()


def divided(x, y, z, w):
    w = w - y * z
    z = z - x * y
    y = y - z * x
    x = x - y * w
    return x, y, z, w


def pcg4d_inverse(*words):
    words = divided(*(word ^ (word >> 16) for word in divided(*words)))
    return [(word - np.uint32(1013904223)) * np.uint32(pow(1664525, -1, WORD)) for word in words]


def final_inverse(word):
    word = (word ^ (word >> 16)) * np.uint32(pow(0x846CA68B, -1, WORD))
    return word ^ (word >> 15) ^ (word >> 30)


@pytest.mark.parametrize(("inputs", "outputs"), PUBLISHED)
def test_pcg4d_is_the_published_function(inputs, outputs):
    assert tuple(int(word) for word in generators.pcg4d(*map(jnp.uint32, inputs))) == outputs


def test_a_block_is_a_bijection():
    """It can be inverted, so no two inputs have the same output."""
    inputs = np.asarray(random.bits(random.key(0), (4, 10_000)))
    mixed = [np.asarray(word) for word in generators.pcg4d(*map(jnp.asarray, inputs))]
    np.testing.assert_array_equal(pcg4d_inverse(*mixed), inputs)
    outputs = generators.block(inputs[:2], inputs[2], inputs[3])
    w, z, y, sums = (final_inverse(np.asarray(word)) for word in outputs)
    np.testing.assert_array_equal(pcg4d_inverse(sums - y * w, y, z, w), inputs)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 101])
def test_bits_agree_with_python_integers(count):
    assert random.bits(KEY, (count,)).tolist() == bits((0, 7), count)


def test_new_keys_agree_with_python_integers():
    assert data(random.split(KEY, 5)) == [block((0, 7), counter, SPLIT)[:2] for counter in range(5)]
    for number in (0, 1, 1_000_000, WORD - 1):
        assert data(random.fold_in(KEY, number)) == block((0, 7), number, FOLD)[:2]
    child = random.split(random.fold_in(KEY, 3))[1]
    assert random.bits(child, (6,)).tolist() == bits(block(block((0, 7), 3, FOLD)[:2], 1, SPLIT)[:2], 6)


def test_a_seed_fills_the_key():
    assert data(random.key(0, impl=PCG)) == [0, 0]
    assert data(random.key(WORD - 1, impl=PCG)) == [0, WORD - 1]
    assert data(random.key(-1, impl=PCG)) == [0, WORD - 1]
    with jax.enable_x64(True):
        assert data(random.key(5 * WORD + 3, impl=PCG)) == [5, 3]
        assert data(random.key(-1, impl=PCG)) == [WORD - 1, WORD - 1]


@pytest.mark.parametrize("inputs", [32, 12])
def test_every_input_bit_changes_every_output_bit_half_of_the_time(inputs):
    """The largest of 128² z-scores of random bits is about 4."""
    scores = randomness.avalanche(randomness.MIXERS["pcg4x32"], inputs, 2**14)
    assert scores.shape == (128, 128)
    assert jnp.abs(scores).max() < 5.5


def test_pcg4d_without_the_finaliser_fails_the_avalanche_test():
    scores = randomness.avalanche(randomness.MIXERS[randomness.CONTROL], 32, 2**14)
    assert jnp.abs(scores).max() == 2**7  # in 2^14 trials, the bit never changes


@pytest.mark.parametrize("width", [8, 16, 32])
def test_narrow_integers_are_the_low_bits_of_words(width):
    narrow = random.bits(KEY, (3, 5), f"uint{width}")
    assert narrow.dtype == f"uint{width}"
    assert narrow.ravel().tolist() == [word % 2**width for word in bits((0, 7), 15)]


def test_wide_integers_are_two_words():
    with jax.enable_x64(True):
        wide = random.bits(KEY, (3,), "uint64")
        assert wide.dtype == "uint64"
        high, low = np.reshape(bits((0, 7), 6), (2, 3)).tolist()
        assert wide.tolist() == [WORD * upper + lower for upper, lower in zip(high, low, strict=True)]
        assert 0 <= random.uniform(KEY, (), "float64") < 1


@pytest.mark.parametrize("width", [8, 16, 32])
def test_integers_are_uniform(width):
    """Each bit is uniform, and so are the values of the highest and of the lowest four bits.

    The key is fixed. The bounds are near the 1 - 1e-9 quantile of uniform bits.
    """
    count = 2**16
    drawn = np.asarray(random.bits(KEY, (count,), f"uint{width}"))
    ones = [((drawn >> bit) & 1).sum(dtype=int) for bit in range(width)]
    assert np.abs(np.array(ones) - count / 2).max() < 6 * np.sqrt(count / 4)
    for nibble in (drawn & 15, drawn >> (width - 4)):
        statistic = ((np.bincount(nibble, minlength=16) - count / 16) ** 2 / (count / 16)).sum()
        assert statistic < 75


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (3, 5, 7)])
def test_any_shape(shape):
    drawn = random.bits(KEY, shape)
    assert drawn.shape == shape
    assert drawn.ravel().tolist() == bits((0, 7), drawn.size)
    assert random.split(KEY, shape).shape == shape


def test_too_many_words_of_one_key_are_refused():
    most = 4 * (WORD - 1)
    key = jnp.zeros(2, jnp.uint32)
    assert jax.eval_shape(lambda: generators.words(key, most)).shape == (most,)
    with pytest.raises(ValueError, match="at most 17179869180 words, not 17179869181"):
        generators.words(key, most + 1)
    with pytest.raises(ValueError, match="at most 17179869180 words"):
        jax.jit(lambda: random.bits(KEY, (most + 1,)).sum()).lower()


def test_different_uses_of_a_key_have_different_bits():
    uses = [
        random.bits(KEY, (2,)),
        *data(random.split(KEY, 2)),
        data(random.fold_in(KEY, 0)),
        data(random.fold_in(KEY, 1)),
        data(KEY),
    ]
    assert len({word for use in uses for word in np.asarray(use).tolist()}) == 2 * len(uses)


def draws(key):
    """Bits, new keys and a distribution: each use of a key."""
    folded = random.fold_in(key, 3)
    return random.bits(key, (5,)), random.key_data(random.split(key, 3)), random.normal(folded, (4,))


def assert_equal(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_lane_has_the_bits_of_its_key_without_vmap():
    keys = random.split(KEY, 9)
    lanes = jax.jit(jax.vmap(draws))(keys)
    alone = jax.jit(draws)
    for lane in range(9):
        assert_equal([drawn[lane] for drawn in lanes], alone(keys[lane]))


def test_a_lane_does_not_depend_on_the_other_lanes():
    keys = random.split(KEY, 9)
    others = random.split(random.key(8, impl=PCG), 9).at[4].set(keys[4])
    batch = jax.jit(jax.vmap(draws))
    lanes, among_others = batch(keys), batch(others)
    assert_equal([drawn[4] for drawn in lanes], [drawn[4] for drawn in among_others])
    assert (lanes[0][3] != among_others[0][3]).any()


def test_compiled_and_eager_bits_are_equal():
    assert_equal(jax.jit(draws)(KEY), draws(KEY))
    assert_equal(jax.jit(jax.vmap(draws))(KEY[None]), [drawn[None] for drawn in draws(KEY)])


def test_key_data_round_trip():
    again = random.wrap_key_data(random.key_data(KEY), impl=PCG)
    assert again == KEY
    assert_equal(draws(again), draws(KEY))
    assert random.key_impl(again) == random.key_impl(KEY)


def test_distributions_have_their_moments():
    """The key is fixed, so the tolerances are never exceeded by chance."""
    count = 40_000
    drawn = {
        "uniform": (random.uniform(KEY, (count,)), 1 / 2, 1 / 12),
        "normal": (random.normal(KEY, (count,)), 0, 1),
        "randint": (random.randint(KEY, (count,), 0, 10), 4.5, 8.25),
        "bernoulli": (random.bernoulli(KEY, 0.3, (count,)), 0.3, 0.21),
        "categorical": (random.categorical(KEY, jnp.log(jnp.array([0.3, 0.7])), shape=(count,)), 0.7, 0.21),
    }
    for name, (values, mean, variance) in drawn.items():
        assert abs(np.mean(values) - mean) < 5 * np.sqrt(variance / count), name
        assert np.var(values) == pytest.approx(variance, rel=0.05), name
    assert sorted(random.permutation(KEY, 100).tolist()) == list(range(100))
    assert len(set(random.choice(KEY, 100, (50,), replace=False).tolist())) == 50
