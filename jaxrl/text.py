"""Numbers and names as text."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

LONGEST = 80  # characters of a `file_name`


def number(value: float) -> str:
    """A number in about four digits: "0.7412", "9.5", "498.3", "38,123", "4.02 M".

    NaN becomes "none". -inf, the score by which a failed run is ordered, becomes "failed".
    """
    if np.isnan(value):
        return "none"
    if np.isneginf(value):
        return "failed"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def bounds(low: float, high: float) -> str:
    """The bounds of an interval: "[476.7, 487.4]", or "(no interval)" if `low` is NaN."""
    if np.isnan(low):
        return "(no interval)"
    return f"[{number(low)}, {number(high)}]"


def percent(share: tuple[float, float, float]) -> str:
    """A share in [0, 1] with the bounds of its interval, in percent: "98 % [92, 100]"."""
    estimate, low, high = share
    return f"{100 * estimate:.3g} % [{100 * low:.3g}, {100 * high:.3g}]"


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 run", "1,000 runs", "2 batches"."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{count:,} {noun if count == 1 else plural}"


def listed(parts: Sequence[str]) -> str:
    """Parts as an enumeration: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def short_names(labels: Sequence[str]) -> dict[str, str]:
    """Each label without the words that all labels share: "ppo clip=1", "ppo clip=2" -> "clip=1", "clip=2".

    A label that has only shared words stays as it is, and so does a single label.
    """
    words = [label.split(" ") for label in labels]
    shared = set.intersection(*map(set, words)) if len(labels) > 1 else set()
    own = (" ".join(word for word in each if word not in shared) for each in words)
    return {label: name or label for label, name in zip(labels, own, strict=True)}


def wrapped(name: str, newline: str, width: int = 20) -> str:
    """A name in lines of at most `width` characters, joined by `newline`. Lines are broken at spaces.

    A word that is longer than a line is cut and ends in "…".
    """
    lines: list[str] = []
    for word in name.split(" "):
        word = word if len(word) <= width else f"{word[: width - 1]}…"
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return newline.join(lines)


def file_name(label: str) -> str:
    """A label as a part of a file name, of at most LONGEST characters.

    Characters other than letters, digits and "_.=+-" are replaced by "-". A longer name is cut and ends in a
    hash of the label.
    """
    name = re.sub(r"[^\w.=+-]+", "-", label).strip("-")
    if len(name) <= LONGEST:
        return name
    ending = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9]}-{ending}"
