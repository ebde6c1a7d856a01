"""The error for bad input, and its sentence for an unknown name."""

import difflib
import os
import sysconfig
from collections.abc import Iterable
from pathlib import Path


class InputError(ValueError):
    """Bad input. The message is one sentence with the value, what is expected and the closest known name.

    Control characters in it, such as those of a file's name, are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(with_urls(message)))


_URLS = dict[str, str]()  # by working copy


def show_as(working_copy: Path, url: str) -> None:
    """Lets `with_urls` show the working copy of a study in an object store as its URL."""
    _URLS[str(working_copy)] = url


def with_urls(text: object) -> str:
    """A text in which working copies of studies in object stores are named by their URLs."""
    shown = str(text)
    for path, url in _URLS.items():
        shown = shown.replace(path, url)
    return shown


def printable(text: str) -> str:
    """A text in which control characters are escaped, so that none reaches a terminal, a label or a table."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a `name` that is not among the `known` names of its `kind`, such as "environment"."""
    names = sorted(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    closest = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"did you mean {by_lower[closest[0]]!r}? " if closest else ""
    return InputError(f"unknown {kind} {name!r}: {hint}known are {', '.join(names)}")


def users_line(frames: Iterable[tuple[str, int | str]]) -> str:
    """The innermost line of a user's code among a traceback's frames, which are pairs of file and line.

    Installed packages, Python's own modules and jaxrl are not the user's. If all frames are theirs, it is the
    innermost of these.
    """
    known = [*frames]
    theirs = (sysconfig.get_path("stdlib"), f"{os.sep}site-packages{os.sep}", str(Path(__file__).parent), "<")
    own = [(file, line) for file, line in known if not any(part in file for part in theirs)]
    file, line = (own or known)[-1]
    return f"{file}, line {line}"
