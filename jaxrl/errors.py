"""The one error a user's input can cause, and the sentence for a name that is not known."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: one sentence with the value, what was expected and, for a name, the closest match."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for `name`, which is none of the `known` names of this `kind`."""
    names = sorted(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    closest = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"did you mean {by_lower[closest[0]]!r}? " if closest else ""
    return InputError(f"unknown {kind} {name!r}: {hint}known are {', '.join(names)}")
