"""One look for all pictures: colours that everybody can tell apart (Okabe and Ito 2008), readable at half size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)
# With colour gone, lines still differ by dash.
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))


def figure(width: float = 8.0, height: float = 4.5, **kwargs: Any) -> Any:
    """A figure of inches that needs no display and lays itself out."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained", **kwargs)


def tidy(axes: Any | Sequence[Any]) -> None:
    """Take away frames that say nothing and put a light grid behind the data."""
    for ax in axes if isinstance(axes, Sequence) else [axes]:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="0.9", linewidth=0.8)
        ax.set_axisbelow(True)
