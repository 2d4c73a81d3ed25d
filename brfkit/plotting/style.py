"""One look for all pictures: colours that everybody can tell apart (Okabe and Ito 2008), two sizes, safe text.

``screen`` is for documents and slides, ``paper`` for one column of a page: 3.35 inches wide, 8 point, no heading, one
panel below the other, fonts embedded as outlines that can be searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from brfkit.errors import BrfkitError

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)
# With colour gone, lines still differ by dash and marker.
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
# Every neuron has its own line in every picture; others follow in the order in which they come.
NEURONS = ("brf", "rf", "alif", "lif", "bhrf", "lstm", "rf-izhikevich")

TIME = "time t = step · δ"
TINY = 30  # points of a line up to which each has a marker

STYLES = ("screen", "paper")
COLUMN = 3.35  # inches, of a page with two columns
POINTS = 8.0
_style: ContextVar[str] = ContextVar("style", default="screen")


@contextmanager
def use_style(name: str) -> Iterator[None]:
    """Draw pictures in a style, ``screen`` or ``paper``.

    Raises:
        BrfkitError: there is no such style.
    """
    if name not in STYLES:
        raise BrfkitError(f"style must be one of {', '.join(STYLES)}, not {name!r}")
    token = _style.set(name)
    try:
        yield
    finally:
        _style.reset(token)


def is_paper() -> bool:
    """Whether pictures are drawn for a page."""
    return _style.get() == "paper"


def figure(width: float = 8.0, height: float = 4.5, paper: float | None = None, **kwargs: Any) -> Any:
    """A figure that needs no display, lays itself out, and shows every text as it is written.

    Args:
        width, height: inches on the screen.
        paper: height in inches in the style ``paper``, whose width is that of a column; None keeps the proportions.
        kwargs: for matplotlib's Figure.
    """
    from brfkit.plotting.safe_figure import SafeFigure

    if is_paper():
        width, height = COLUMN, paper or COLUMN * height / width
    drawn = SafeFigure(figsize=(width, height), dpi=150, layout="constrained", **kwargs)
    drawn.paper = is_paper()
    return drawn


def panels(
    rows: int, columns: int, size: tuple[float, float] = (3.7, 3.6), paper: float = 1.75, **kwargs: Any
) -> tuple[Any, list[Any]]:
    """A figure and its axes in the order of reading: a grid on the screen, one below the other on paper.

    Args:
        rows, columns: of the grid.
        size: width and height of a panel on the screen, in inches.
        paper: height of a panel on paper, in inches.
        kwargs: for ``subplots``; ratios count on the screen only.
    """
    fig = figure(size[0] * columns, size[1] * rows, paper * rows * columns)
    if is_paper():
        kwargs = {key: value for key, value in kwargs.items() if not key.endswith("_ratios")}
        rows, columns = rows * columns, 1
    axes = list(fig.subplots(rows, columns, squeeze=False, **kwargs).ravel())
    tidy(axes)
    return fig, axes


def heading(fig: Any, text: str, size: float = 11) -> None:
    """The heading of a picture; on paper its caption says it."""
    if not is_paper():
        fig.suptitle(text, fontsize=size)


def legend_below(fig: Any, found: tuple[list[Any], list[str]], columns: int = 4, **kwargs: Any) -> None:
    """A legend below all panels, with as many columns as its texts leave room for.

    Args:
        fig: the figure.
        found: handles and labels, as ``get_legend_handles_labels`` gives them.
        columns: at most so many.
        kwargs: for ``Figure.legend``.
    """
    handles, labels = found
    if not labels:
        return
    room = 13 * fig.get_figwidth() / (max(len(str(label)) for label in labels) + 8)  # 13 characters to an inch
    columns = max(1, min(len(labels), columns, int(room)))
    fig.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9, frameon=False, **kwargs)


def note(ax: Any, text: str) -> None:
    """Words in the middle of an empty panel."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color="0.35", fontsize=9)


def label_contours(ax: Any, lines: Any, **kwargs: Any) -> None:
    """Numbers on contours, none of them near the border of the axes, where it would be cut."""
    from matplotlib.patheffects import withStroke

    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for text in list(ax.clabel(lines, colors="white", inline=False, **kwargs)):
        text.set_path_effects([withStroke(linewidth=1.5, foreground="black")])
        x, y = text.get_position()
        inside = 0.06 < (x - left) / (right - left) < 0.94 and 0.05 < (y - bottom) / (top - bottom) < 0.95
        text.set_clip_on(True)
        if not inside:
            text.set_visible(False)


def tidy(axes: Any | Sequence[Any]) -> None:
    """Take away frames that say nothing and put a light grid behind the data."""
    for ax in axes if isinstance(axes, Sequence) else [axes]:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="0.9", linewidth=0.8)
        ax.set_axisbelow(True)


def looks(names: Sequence[str]) -> list[dict[str, Any]]:
    """Colour, dash and marker of each curve. A curve that is called after a neuron, the first one of it, has the look
    of that neuron; no two of up to seven curves share any of the three."""
    taken: dict[int, int] = {}
    for index, name in enumerate(names):
        place = _neuron_place(name)
        if place is not None and place not in taken.values():
            taken[index] = place
    free = [place for place in range(len(COLOURS)) if place not in taken.values()]
    for turn, index in enumerate(index for index in range(len(names)) if index not in taken):
        taken[index] = free[turn] if turn < len(free) else len(COLOURS) + turn - len(free)
    return [look(taken[index]) for index in range(len(names))]


def _neuron_place(name: str) -> int | None:
    words = name.lower().replace("(", " ").replace(",", " ").split()
    return next((NEURONS.index(word) for word in words if word in NEURONS), None)


def look(place: int) -> dict[str, Any]:
    """Colour, dash and marker number ``place``; beyond seven the dashes and markers are combined anew."""
    turn, index = divmod(place, len(COLOURS))
    return {
        "color": COLOURS[index],
        "linestyle": DASHES[(index + turn) % len(DASHES)],
        "marker": MARKERS[(index + 2 * turn) % len(MARKERS)],
    }


def class_colours(classes: int) -> list[tuple[float, float, float, float]]:
    """One colour for each class, the same in every picture: from dark to light, so that grey keeps them in order."""
    from matplotlib import colormaps

    steps = [0.92 * k / max(classes - 1, 1) for k in range(classes)]
    return [colormaps["plasma"](step) for step in steps]
