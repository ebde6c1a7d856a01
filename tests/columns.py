"""The list of columns in a docstring."""

import inspect
import re


def listed_columns(function):
    """The names that the docstring of a function lists under "Columns"."""
    _, listed = re.split(r"^Columns[^\n]*:\n", inspect.getdoc(function), flags=re.MULTILINE)
    lines = re.findall(r"^    (\S[^:\n]*): ", listed, flags=re.MULTILINE)
    return {name for line in lines for name in line.split(", ")}
