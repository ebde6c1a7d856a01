"""How numbers and names are written."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

LONGEST = 80  # characters of a label in the name of a file


def number(value: float) -> str:
    """About four digits: 0.7412, 9.5, 498.3, 38,123, 4.02 M; -inf is where failed runs rank."""
    if np.isnan(value):
        return "none"
    if np.isneginf(value):
        return "failed"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def bounds(low: float, high: float) -> str:
    """Two bounds: "[476.7, 487.4]"."""
    if np.isnan(low):
        return "(no interval)"
    return f"[{number(low)}, {number(high)}]"


def percent(share: tuple[float, float, float]) -> str:
    """A share with the bounds of its interval: "98 % [92, 100]"."""
    estimate, low, high = share
    return f"{100 * estimate:.3g} % [{100 * low:.3g}, {100 * high:.3g}]"


def counted(count: int, noun: str) -> str:
    """ "1 run", "1,000 runs", "2 batches"."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{count:,} {noun if count == 1 else plural}"


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def short_names(labels: Sequence[str]) -> dict[str, str]:
    """Labels without the words that all share: "ppo clip=1", "ppo clip=2" -> "clip=1", "clip=2"."""
    words = [label.split(" ") for label in labels]
    shared = set.intersection(*map(set, words)) if len(labels) > 1 else set()
    own = (" ".join(word for word in each if word not in shared) for each in words)
    return {label: name or label for label, name in zip(labels, own, strict=True)}


def wrapped(name: str, newline: str, width: int = 20) -> str:
    """A name in lines, broken at its spaces; a word that is longer than a line is cut short."""
    lines: list[str] = []
    for word in name.split(" "):
        word = word if len(word) <= width else f"{word[: width - 1]}…"
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return newline.join(lines)


def file_name(label: str) -> str:
    """A label as a part of a file's name; one that is cut short ends in a hash of the whole."""
    name = re.sub(r"[^\w.=+-]+", "-", label).strip("-")
    if len(name) <= LONGEST:
        return name
    ending = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9]}-{ending}"
