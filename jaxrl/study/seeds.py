"""Seeds and counts as users give them, checked."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxrl.errors import InputError
from jaxrl.text import parts, whole_number

MAX_COUNT = 2**31 - 1  # since steps are counted in int32
MAX_SEEDS = 1_000_000


def require_count(name: str, value: Any) -> int:
    """The value as an int. Raises InputError unless it is a whole number of at least 1 that fits int32."""
    is_float = isinstance(value, float | np.floating)
    whole = value.is_integer() if is_float else isinstance(value, int | np.integer)
    if isinstance(value, bool) or not whole or value < 1:
        raise InputError(f"{name} must be an integer of at least 1, got {value!r}")
    if value > MAX_COUNT:
        raise InputError(f"{name} must be at most {MAX_COUNT}, got {value!r}")
    return int(value)


def optional_count(name: str, value: Any) -> int | None:
    """`require_count` for a value that may be None."""
    return None if value is None else require_count(name, value)


def parse_seeds(seeds: int | str | Iterable[int], first: int = 0) -> tuple[int, ...]:
    """The seeds that a count, a text ("128", "100:200" or "3,5,8") or distinct integers describe.

    A count is that number of seeds from `first` on. Raises InputError for anything else, for no seeds, for
    duplicates, and for an integer outside [0, 2³²).
    """
    listed: Sequence[int]
    expected = "seeds must be a count (128), a range (100:200) or distinct integers (3,5,8) in [0, 2^32)"
    try:
        if isinstance(seeds, str) and "," in seeds:
            listed = [whole_number(part) for part in parts(seeds)]
        elif isinstance(seeds, str):
            bounds = [whole_number(part) for part in seeds.split(":")]
            bounds = bounds if len(bounds) > 1 else [first, first + bounds[0]]
            listed = range(*bounds) if len(bounds) == 2 else ()
        elif isinstance(seeds, bool):
            listed = ()
        elif isinstance(seeds, int | np.integer):
            listed = range(first, first + int(seeds))
        else:
            listed = tuple(operator.index(seed) for seed in seeds)
        count = len(listed)
    except (TypeError, ValueError):
        listed, count = (), 0
    except OverflowError:  # of a range
        count = MAX_SEEDS + 1
    if count > MAX_SEEDS:
        raise InputError(f"seeds must be at most {MAX_SEEDS:,}, got {seeds!r}")
    valid = len(listed) == len(set(listed)) and all(0 <= seed < 2**32 for seed in listed)
    if not listed or not valid:
        raise InputError(f"{expected}, at least one, got {seeds!r}")
    return tuple(listed)
