"""The error for bad input, and its sentence for an unknown name."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. The message is one sentence with the value, what is expected and the closest known name."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a `name` that is not among the `known` names of its `kind`, such as "environment"."""
    names = sorted(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    closest = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"did you mean {by_lower[closest[0]]!r}? " if closest else ""
    return InputError(f"unknown {kind} {name!r}: {hint}known are {', '.join(names)}")
