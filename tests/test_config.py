"""Configs: which values they take, how text and lists become values, and what is a leaf."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from jaxrl import registry
from jaxrl.algorithms import PPO
from jaxrl.config import Config, Shared, attach, detach, grid, meanings, shared, stack, static, traced
from jaxrl.errors import InputError
from jaxrl.learning.networks import MLP
from jaxrl.registry import parse


class Settings(Config):
    rate: float = traced(0.5, low=0, high=1)
    offset: float = traced(0.0)
    count: int = traced(3, low=1)
    noisy: bool = traced(False)
    size: int = static(4, low=2, high=8)
    fast: bool = static(True)
    kind: str = static("linear", choices=("linear", "exponential"))
    layers: tuple[int, ...] = static((8, 8), low=1)
    scales: tuple[float, ...] = static((1.0,))
    rows: tuple[str, ...] = static(("ab", "cd"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", 0),
        ("rate", 1.0),
        ("rate", np.float32(0.25)),
        ("rate", np.int64(1)),
        ("offset", -1e6),
        ("count", 1),
        ("count", np.int32(7)),
        ("noisy", True),
        ("noisy", np.bool_(True)),
        ("size", 2),
        ("size", 8),
        ("fast", False),
        ("kind", "exponential"),
        ("layers", ()),
        ("layers", (1, 2, 3)),
        ("scales", (0.5, 2)),
        ("rows", ("xy",)),
    ],
)
def test_good_value_is_taken(field, value):
    changed = Settings().with_values(**{field: value})
    assert changed.parameters() == {**Settings().parameters(), field: value}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rate", "0.5", "Settings.rate must be a number, got '0.5'"),
        ("rate", None, "Settings.rate must be a number, got None"),
        ("rate", True, "Settings.rate must be a number, got True"),
        ("rate", 1.5, "Settings.rate must be in [0, 1], got 1.5"),
        ("rate", -0.1, "Settings.rate must be in [0, 1], got -0.1"),
        ("rate", math.nan, "Settings.rate must be in [0, 1] as float32, got nan"),
        ("offset", math.nan, "Settings.offset must be finite as float32, got nan"),
        ("offset", 1e300, "Settings.offset must be finite as float32, got 1e+300"),
        ("offset", 10**400, "Settings.offset must be finite as float32, got 1000"),
        ("offset", math.inf, "Settings.offset must be finite as float32, got inf"),
        ("offset", -math.inf, "Settings.offset must be finite as float32, got -inf"),
        ("offset", [1.0], "Settings.offset must be a number, got [1.0]"),
        ("count", 0, "Settings.count must be at least 1, got 0"),
        ("count", 2.0, "Settings.count must be an integer, got 2.0"),
        ("count", True, "Settings.count must be an integer, got True"),
        ("count", np.bool_(True), "Settings.count must be an integer"),
        ("noisy", 1, "Settings.noisy must be true or false, got 1"),
        ("noisy", "true", "Settings.noisy must be true or false, got 'true'"),
        ("size", 9, "Settings.size must be in [2, 8], got 9"),
        ("size", 4.0, "Settings.size must be an integer, got 4.0"),
        ("fast", 0, "Settings.fast must be true or false, got 0"),
        ("kind", 3, "Settings.kind must be str, got 3"),
        ("kind", "cubic", "unknown value of Settings.kind 'cubic'"),
        ("kind", "exponental", "did you mean 'exponential'?"),
        ("layers", [8, 8], "Settings.layers must be a tuple of int, got [8, 8]"),
        ("layers", 8, "Settings.layers must be a tuple of int, got 8"),
        ("layers", (8, 0), "each item of Settings.layers must be at least 1, got 0"),
        ("layers", (8, 2.5), "each item of Settings.layers must be an integer, got 2.5"),
        ("layers", (True,), "each item of Settings.layers must be an integer, got True"),
        ("scales", (1.0, math.inf), "each item of Settings.scales must be finite as float32, got inf"),
        ("scales", ("1",), "each item of Settings.scales must be a number, got '1'"),
        ("rows", "abcd", "Settings.rows must be a tuple of str, got 'abcd'"),
        ("rows", ("ab", 3), "each item of Settings.rows must be str, got 3"),
    ],
)
def test_bad_value_is_refused_and_explained(field, value, message):
    for attempt in (Settings(**{field: value}).validate, lambda: Settings().with_values(**{field: value})):
        with pytest.raises(InputError) as error:
            attempt()
        assert message in str(error.value)


@pytest.mark.parametrize("name", ["raet", "Rate"])
def test_unknown_field_is_refused_with_the_closest_match(name):
    for attempt in (
        lambda: Settings().with_values(**{name: 1}),
        lambda: parse(Settings(), name, "1"),
        lambda: grid(Settings(), **{name: [1]}),
    ):
        with pytest.raises(InputError) as error:
            attempt()
        assert f"unknown field of Settings '{name}': did you mean 'rate'?" in str(error.value)


def test_unknown_field_like_no_other_gets_the_list_alone():
    with pytest.raises(InputError) as error:
        Settings().with_values(zzz=1)
    assert "did you mean" not in str(error.value)
    assert "count, fast, kind" in str(error.value)


def test_subclass_adds_its_own_check():
    class Ordered(Config):
        low: int = static(1)
        high: int = static(2)

        def validate(self):
            super().validate()
            if self.low > self.high:
                raise InputError("low must not exceed high")

    assert Ordered().with_values(low=2).low == 2
    with pytest.raises(InputError, match="exceed"):
        Ordered().with_values(low=3)
    with pytest.raises(InputError, match="integer"):
        Ordered().with_values(low=1.5)


def test_config_is_frozen_and_takes_keywords_only():
    settings = Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.rate = 0.1
    with pytest.raises(TypeError):
        Settings(0.1)
    settings.with_values(rate=0.1)
    assert settings.rate == 0.5


def test_parameters_are_in_order_of_definition():
    names = ["rate", "offset", "count", "noisy", "size", "fast", "kind", "layers", "scales", "rows"]
    assert list(Settings().parameters()) == names


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("rate", "0.25", 0.25),
        ("rate", "1", 1.0),
        ("offset", "-1e-3", -1e-3),
        ("count", "12", 12),
        ("count", "1e1", 10),
        ("size", "0_5", 5),
        ("noisy", "true", True),
        ("noisy", "False", False),
        ("size", "5", 5),
        ("kind", "exponential", "exponential"),
        ("layers", "64/32", (64, 32)),
        ("layers", "64", (64,)),
        ("scales", "0.5/2", (0.5, 2.0)),
        ("rows", "SF/FG", ("SF", "FG")),
    ],
)
def test_parse(field, text, value):
    parsed = parse(Settings(), field, text)
    assert parsed == value
    assert type(parsed) is type(value)
    Settings().with_values(**{field: parsed})


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("rate", "high", "Settings.rate must be a number, got 'high'"),
        ("rate", "", "Settings.rate must be a number, got ''"),
        ("count", "inf", "Settings.count must be an integer, got 'inf'"),
        ("count", "1.5", "Settings.count must be an integer, got '1.5'"),
        ("noisy", "1", "Settings.noisy must be true or false, got '1'"),
        ("noisy", "yes", "Settings.noisy must be true or false, got 'yes'"),
        ("layers", "64/x", "Settings.layers must be a tuple of int, got '64/x'"),
        ("layers", "64/", "Settings.layers must be a tuple of int, got '64/'"),
        ("scales", "1,2", "Settings.scales must be a tuple of float, got '1,2'"),
    ],
)
def test_parse_refuses_what_does_not_fit(field, text, message):
    with pytest.raises(InputError) as error:
        parse(Settings(), field, text)
    assert message in str(error.value)


def test_grid_is_the_product_and_its_last_field_varies_fastest():
    configs = grid(Settings(count=9), rate=[0.1, 0.2], size=[2, 3, 4])
    pairs = [(0.1, 2), (0.1, 3), (0.1, 4), (0.2, 2), (0.2, 3), (0.2, 4)]
    assert [(config.rate, config.size) for config in configs] == pairs
    assert {config.count for config in configs} == {9}


def test_grid_takes_ranges_arrays_and_lists_of_tuples():
    assert [config.size for config in grid(Settings(), size=range(2, 5))] == [2, 3, 4]
    assert [config.rate for config in grid(Settings(), rate=np.linspace(0, 1, 3))] == [0, 0.5, 1]
    assert [config.layers for config in grid(Settings(), layers=[(4,), (4, 4)])] == [(4,), (4, 4)]


def test_grid_of_nothing_is_the_config_itself():
    assert grid(Settings()) == [Settings()]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.5}, "grid needs a list of values for 'rate', got 0.5"),
        ({"kind": "linear"}, "grid needs a list of values for 'kind', got 'linear'"),
        ({"rate": {0.5}}, "grid needs a list of values for 'rate'"),
        ({"rate": []}, "grid got no values for 'rate'"),
        ({"rate": [0.5], "size": []}, "grid got no values for 'size'"),
        ({"rate": [0.5, 2.0]}, "Settings.rate must be in [0, 1], got 2.0"),
        ({"layers": (4, 4)}, "Settings.layers must be a tuple of int, got 4"),
    ],
)
def test_grid_refuses_bad_lists(values, message):
    with pytest.raises(InputError) as error:
        grid(Settings(), **values)
    assert message in str(error.value)


def test_leaves_are_the_traced_fields():
    assert sorted(jax.tree.leaves(Settings())) == sorted([0.5, 0.0, 3, False])


def test_structure_is_that_of_the_static_fields():
    def structure(**values):
        return jax.tree.structure(Settings(**values))

    assert structure(rate=0.1, count=7, noisy=True) == structure()
    for values in ({"size": 5}, {"fast": False}, {"kind": "exponential"}, {"layers": (8,)}):
        assert structure(**values) != structure()


def test_structures_of_different_classes_differ():
    """One environment must never run in the program that was compiled for another."""

    class Twin(Settings):
        pass

    assert Twin().parameters() == Settings().parameters()
    assert jax.tree.structure(Twin()) != jax.tree.structure(Settings())


def test_subclass_inherits_fields_and_an_unmarked_field_is_traced():
    class More(Settings):
        extra: float = 2.0

    assert len(jax.tree.leaves(More())) == len(jax.tree.leaves(Settings())) + 1
    assert More().arrays().extra.dtype == "float32"
    assert More().with_values(extra=3, size=5).parameters() == {
        **Settings(size=5).parameters(),
        "extra": 3,
    }


def test_transforming_the_leaves_keeps_the_rest():
    doubled = jax.tree.map(lambda leaf: 2 * leaf, Settings(rate=0.2, size=7))
    assert doubled == Settings(rate=0.4, count=6, size=7)


def test_arrays_have_the_type_of_the_field_not_of_the_value():
    arrays = Settings(rate=1, count=np.int64(5)).arrays()
    traced_fields = (arrays.rate, arrays.offset, arrays.count, arrays.noisy)
    assert [leaf.dtype for leaf in traced_fields] == ["float32", "float32", "int32", "bool"]
    assert {leaf.shape for leaf in traced_fields} == {()}
    assert (arrays.size, arrays.layers) == (4, (8, 8))


def test_stack_gives_traced_fields_a_leading_axis():
    stacked = stack([Settings(rate=1, noisy=True), Settings(rate=0.25), Settings(count=5)])
    np.testing.assert_array_equal(stacked.rate, np.array([1, 0.25, 0.5], np.float32))
    np.testing.assert_array_equal(stacked.count, np.array([3, 3, 5], np.int32))
    np.testing.assert_array_equal(stacked.noisy, [True, False, False])
    assert [stacked.rate.dtype, stacked.count.dtype, stacked.noisy.dtype] == ["float32", "int32", "bool"]
    assert stacked.size == 4


def test_stack_refuses_configs_of_different_structure():
    with pytest.raises(ValueError, match="structure"):
        stack([Settings(), Settings(size=5)])


def test_numbers_too_large_for_their_type_are_refused():
    with pytest.raises(InputError, match=r"Settings.count must be at least 1 as int32, got 1099511627776"):
        Settings(count=2**40).validate()


def test_grid_of_arrays_holds_plain_numbers():
    assert [type(each.count) for each in grid(Settings(), count=np.arange(1, 3))] == [int, int]
    with pytest.raises(InputError, match="grid needs a list of values for 'count', got 3"):
        grid(Settings(), count=np.array(3))


def test_numbers_of_numpy_are_named_in_the_fewest_digits():
    """And so is what a grid of them gives, or a schedule: 0.1 as float32 is not 0.10000000149011612."""
    rates = np.array([0.1, 1e-7, 1 / 3], np.float32)
    for ppo, rate in zip(grid(PPO(), learning_rate=rates), rates, strict=True):
        short = ppo.parameters()["learning_rate"]
        assert (type(short), np.float32(short)) == (float, rate)
        assert registry.label_of(ppo) == f"ppo learning_rate={short}"
        assert len(str(short)) <= 10
        assert registry.label_of(PPO(learning_rate=rate)) == registry.label_of(ppo)
    assert PPO(learning_rate=np.float64(0.1)).parameters()["learning_rate"] == 0.1
    assert PPO(num_envs=np.int64(2)).parameters()["num_envs"] == 2


class Inner(Config):
    size: int = static(2, "of it", low=1)
    weight: float = traced(0.5, low=0, high=1)


class Other(Inner):
    depth: int = static(1, low=0)


class Outer(Config):
    rate: float = traced(0.1, "step size", low=0, high=1)
    part: Inner = Inner()
    table: Shared = shared("numbers")


TABLE = {"a": np.arange(3), "b": {"c": np.ones((2, 2))}}


def test_an_attribute_of_a_subclass_is_another_default_with_the_kind_and_bounds_of_the_field():
    class Sub(Inner):
        size = 3
        weight: float = 1.0

    assert Sub().parameters() == {"size": 3, "weight": 1.0}
    assert jax.tree.leaves(Sub()) == [1.0]
    assert meanings(Sub())["size"] == "of it"
    for bad in ({"size": 0}, {"weight": 1.5}):
        with pytest.raises(InputError, match="must be"):
            Sub(**bad).validate()


def test_an_attribute_of_a_base_that_is_no_config_counts_too():
    class Mixin:
        size = 5

    class Sub(Mixin, Inner):
        pass

    assert Sub().size == 5
    assert Sub(size=6).size == 6


def test_a_field_that_is_redefined_keeps_what_it_does_not_give():
    class Sub(Inner):
        size: int = static(4)
        weight: float = traced(0.2, "share", high=0.3)

    assert meanings(Sub()) == {"size": "of it", "weight": "share"}
    with pytest.raises(InputError, match=r"^Sub\.weight must be in \[0, 0\.3\], got 0\.4$"):
        Sub(weight=0.4).validate()
    with pytest.raises(InputError, match=r"^Sub\.size must be at least 1, got 0$"):
        Sub(size=0).validate()


def test_a_property_takes_the_place_of_a_field():
    class Sub(Inner):
        @property
        def size(self):
            return 7

    assert Sub().size == 7
    assert Sub().parameters() == {"weight": 0.5}
    with pytest.raises(TypeError, match="size"):
        Sub(size=1)


def test_a_method_in_the_place_of_a_field_is_refused():
    with pytest.raises(TypeError, match=r"Sub\.size is a function, but Inner\.size is a field"):

        class Sub(Inner):
            def size(self):
                return 7


def test_fields_of_a_component_have_dotted_names():
    outer = Outer(table=TABLE).with_values(**{"part.size": 5, "part": Other(), "part.depth": 2})
    assert outer.part == Other(size=5, depth=2)
    assert [*outer.parameters()] == ["rate", "part", "part.size", "part.weight", "part.depth", "table"]
    assert meanings(outer)["part.size"] == "of it"
    assert jax.tree.leaves(outer) == [0.1, 0.5]
    assert jax.tree.structure(outer) != jax.tree.structure(Outer(table=TABLE))
    assert outer.replace(**{"part.weight": 0.25}).part.weight == 0.25


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"part.sise": 1}, "unknown field of Inner 'sise': did you mean 'size'?"),
        ({"part.depth": 1}, "unknown field of Inner 'depth'"),
        ({"rate.size": 1}, r"^Outer\.rate is not a component, so it has no field 'size'$"),
        ({"part.size": 0}, r"^Inner\.size must be at least 1, got 0$"),
        ({"part": 3}, r"^Outer\.part must be an instance of Inner, got 3$"),
        ({"table": 3}, r"^Outer\.table must be a mapping from names to arrays, got 3$"),
        ({"table": {}}, r"^Outer\.table must be a mapping from names to arrays, got Shared\(\)$"),
    ],
)
def test_bad_values_of_components_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Outer(table=TABLE).with_values(**values)


def test_grid_reaches_into_components():
    values = {"part": [Inner(), Other()], "part.size": [1, 2]}
    found = grid(Outer(table=TABLE), **values)
    assert [(type(each.part), each.part.size) for each in found] == [
        (Inner, 1),
        (Inner, 2),
        (Other, 1),
        (Other, 2),
    ]


def test_shared_arrays_are_equal_if_all_bits_are():
    one, two = Outer(table=TABLE), Outer(table={"b": {"c": np.ones((2, 2))}, "a": np.arange(3)})
    assert one == two
    assert hash(one) == hash(two)
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for other in (
        {"a": np.arange(3)},
        {"a": np.arange(3.0), "b": TABLE["b"]},
        {"a": np.arange(1, 4), "b": TABLE["b"]},
    ):
        assert one != Outer(table=other)
        assert jax.tree.structure(one) != jax.tree.structure(Outer(table=other))


def test_shared_arrays_are_read_only_and_no_leaves():
    outer = Outer(table=TABLE)
    assert jax.tree.leaves(outer) == [0.1, 0.5]
    with pytest.raises(ValueError, match="read-only"):
        outer.table.arrays["a"][0] = 1
    for bad in ({"a.b": np.ones(1)}, {"a/b": np.ones(1)}, {"": np.ones(1)}):
        with pytest.raises(InputError, match="name of a shared array"):
            Outer(table=bad)
    for bad in (["x"], ({"b": np.ones(1)},), (np.ones(1), np.ones((2, 2)))):
        with pytest.raises(InputError, match="'a' must hold numbers"):
            Outer(table={"a": bad})


def test_detached_arrays_are_attached_again_while_tracing():
    plain, arrays = detach(Outer(table=TABLE))
    assert plain.table is None
    assert [*arrays] == ["table"]
    assert attach(plain, arrays) == Outer(table=TABLE)

    @jax.jit
    def total(plain, arrays):
        config = attach(plain, arrays).replace(rate=0.3)
        return config.table["a"].sum() + config.table["b"]["c"].sum()

    assert total(plain, arrays) == 7


def test_parse_finds_components_by_name(tmp_path):
    ppo = PPO()
    assert parse(ppo, "network", "mlp") == MLP()
    assert parse(ppo, "network.hidden", "8/4") == (8, 4)
    known = "attention, gru, lstm, mlp"
    with pytest.raises(InputError, match=rf"^unknown network 'mpl': did you mean 'mlp'\? known are {known}$"):
        parse(ppo, "network", "mpl")
    np.savez(tmp_path / "table.npz", **{"a": TABLE["a"], "b/c": TABLE["b"]["c"]})
    assert parse(Outer(), "table", str(tmp_path / "table.npz")) == Outer(table=TABLE).table
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    for name in ("bad.npz", "missing.npz"):
        with pytest.raises(InputError, match=f"{name} cannot be read as an npz file of arrays: "):
            parse(Outer(), "table", str(tmp_path / name))


def test_plain_values_give_the_config_back():
    ppo = PPO(network=MLP(hidden=(8,), activation="relu"), num_envs=2)
    assert registry.configured(PPO(), registry.plain_parameters(ppo), {}) == ppo
    assert registry.label_of(ppo) == "ppo num_envs=2 network.hidden=8 network.activation=relu"


def test_numbers_of_numpy_become_plain_ones():
    """Also those of 32 bits, with the shortest text that gives the same bits."""
    config = Settings(rate=np.float32(0.1), size=np.int64(3), layers=(np.int32(4), np.int8(5)))
    assert config == Settings(rate=0.1, size=3, layers=(4, 5))
    assert type(config.size) is int
    assert registry.label_of(PPO(clip=np.float32(0.3))) == "ppo clip=0.3"


def test_labels_have_no_digits_that_rounding_left():
    assert registry.label_of(PPO(clip=0.1 + 0.2)) == "ppo clip=0.3"
    assert registry.label_of(PPO(clip=1 / 3)) == f"ppo clip={1 / 3}"


def test_a_default_that_could_change_is_refused():
    with pytest.raises(InputError, match=r"^the default of a field must be immutable, .* got \[1, 2\]$"):
        static([1, 2])
