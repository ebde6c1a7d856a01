"""Numbers, names and tables as text."""

import datetime
import hashlib
import math
import re
import shlex
import textwrap
from collections.abc import Iterable, Sequence

from jaxrl.errors import printable

LONGEST = 80  # bytes of a `file_name`


def number(value: float) -> str:
    """A number in about four digits: "0.7412", "9.5", "498.3", "38,123", "4.02 M".

    NaN becomes "none". -inf, the score by which a failed run is ordered, becomes "failed".
    """
    if math.isnan(value):
        return "none"
    if value == -math.inf:
        return "failed"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def rounded(value: float) -> float:
    """A number without the last bits that float64's rounding leaves: 0.3 for 0.1 + 0.2.

    A number that has no such short neighbour, such as 1/3, stays as it is.
    """
    short = float(f"{value:.12g}")
    return short if math.isclose(short, value, rel_tol=1e-15) else value


def bounds(low: float, high: float) -> str:
    """The bounds of an interval: "[476.7, 487.4]", or "(no interval)" if `low` is NaN."""
    if math.isnan(low):
        return "(no interval)"
    return f"[{number(low)}, {number(high)}]"


def estimate(interval: tuple[float, float, float]) -> str:
    """An estimate with the bounds of its interval: "482.1 [476.7, 487.4]"."""
    value, low, high = interval
    return f"{number(value)} {bounds(low, high)}"


def percent(share: tuple[float, float, float]) -> str:
    """A share in [0, 1] with the bounds of its interval, in percent: "98 % [92, 100]"."""
    estimate, low, high = share
    return f"{100 * estimate:.3g} % [{100 * low:.3g}, {100 * high:.3g}]"


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 run", "1,000 runs", "2 batches"."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{count:,} {noun if count == 1 else plural}"


def with_failed(count: int | str, failed: int) -> str:
    """A count, or another text, with the number of failed runs if there are any: "30, 2 failed"."""
    return f"{count}, {failed} failed" if failed else str(count)


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
    words = (word if len(word) <= width else f"{word[: width - 1]}…" for word in name.split(" "))
    return newline.join(textwrap.wrap(" ".join(words), width, break_on_hyphens=False))


def file_name(label: str, also: str = "") -> str:
    """A label as a part of a file name, of at most LONGEST bytes.

    Characters other than letters, digits, "_.=+-" and those in `also` are replaced by "-". A longer name is
    cut and ends in a hash of the label.
    """
    # Never "..", the folder above.
    name = re.sub(rf"[^\w.=+{re.escape(also)}-]+", "-", label).strip("-.") or "-"
    if len(name.encode()) <= LONGEST:
        return name
    ending = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{ending}"


def duration(seconds: float) -> str:
    """A duration in whole seconds: "0:02:30", "2 days, 4:00:00"."""
    return str(datetime.timedelta(seconds=round(seconds)))


def command(*words: object) -> str:
    """A command of this program as a shell takes it, with quotes around a path that needs them."""
    return shlex.join(["jaxrl", *map(str, words)])


def parts(text: str) -> list[str]:
    """The parts of a text such as "a,b" or "a, b"."""
    return [part.strip() for part in text.split(",")]


def whole_number(text: str) -> int:
    """The integer in a text such as "10000", "10_000" or "1e4". Raises ValueError for anything else."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise
        return int(value)


def print_table(headings: Iterable[str], rows: Iterable[Iterable[str]], width: int | None = None) -> None:
    """Prints a table without lines, and an empty line after it. Control characters in cells are escaped.

    width: characters of a printed line; those of the terminal if None.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*map(escape, headings), box=None)
    for cells in rows:
        table.add_row(*(escape(printable(cell)) for cell in cells))
    Console(width=width).print(table, "")
