"""Pictures and text of grids."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

CELL = 64  # pixels
COLOURS = {
    "S": (214, 226, 240),
    "F": (238, 243, 248),
    "H": (44, 82, 130),
    "G": (72, 160, 96),
    "W": (92, 100, 112),
    "K": (226, 188, 64),
    "D": (158, 108, 70),
    "T": (150, 104, 190),
}
AGENT = (214, 96, 52)


def draw_grid(rows: Sequence[str], agent: int) -> np.ndarray:
    """A picture of a map of letters with a disc in the agent's cell: [height, width, 3] uint8."""
    height, width = len(rows), len(rows[0])
    image = Image.new("RGB", (width * CELL, height * CELL), "white")
    pen = ImageDraw.Draw(image)
    for index, letter in enumerate("".join(rows)):
        x, y = index % width * CELL, index // width * CELL
        pen.rectangle((x + 1, y + 1, x + CELL - 2, y + CELL - 2), fill=COLOURS[letter])
    x, y = agent % width * CELL, agent // width * CELL
    margin = CELL // 4
    pen.ellipse((x + margin, y + margin, x + CELL - margin, y + CELL - margin), fill=AGENT)
    return np.asarray(image)


def text_grid(rows: Sequence[str], agent: int) -> str:
    """A map of letters as lines of text, with brackets around the agent's cell."""
    width = len(rows[0])
    cells = [f"[{c}]" if i == agent else f" {c} " for i, c in enumerate("".join(rows))]
    return "\n".join("".join(cells[i : i + width]) for i in range(0, len(cells), width))
