"""A figure that shows text as it is written, and numbers in one format."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from textwrap import fill
from typing import Any

from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import Formatter, FuncFormatter, LogFormatter, LogFormatterSciNotation, ScalarFormatter

from brfkit.io.text import visible
from brfkit.plotting.style import POINTS

THINNER = 0.75  # lines and markers on paper
CHARACTERS = 14  # of small type to an inch
# Tried after the default font, where they are installed, for writing that it does not have.
FALLBACK = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Arial Unicode MS", "Noto Sans")
_SUPERSCRIPT = str.maketrans("0123456789-−+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻⁺")
_POWER = re.compile(r"\^\{([^}]*)\}")
_RC: Any = {
    "text.parse_math": False, "pdf.fonttype": 42, "svg.fonttype": "path", "axes.formatter.useoffset": False,
    "axes.unicode_minus": True, "hatch.linewidth": 0.6,
}  # fmt: skip


class SafeFigure(Figure):
    """A figure whose texts are no formulas: ``$``, control characters and characters without a glyph are shown.

    Attributes:
        paper: whether it is drawn for a page.
    """

    paper = False
    _thinned = False

    def draw(self, renderer: Any) -> None:
        """Draw, also for ``savefig``."""
        with rc_context(_RC):
            self._make_safe()
            super().draw(renderer)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """As matplotlib's; on paper with 600 dots per inch where something is a bitmap."""
        if self.paper:
            kwargs.setdefault("dpi", 600)
        with rc_context(_RC):
            super().savefig(fname, **kwargs)

    def _make_safe(self) -> None:
        for axis in self.findobj(Axis):
            for ticker in (axis.major, axis.minor):
                ticker.formatter = _formatter(ticker.formatter, axis)
        if self.paper and not self._thinned:
            self._thinned = True
            for line in self.findobj(Line2D):
                line.set(linewidth=THINNER * line.get_linewidth(), markersize=THINNER * line.get_markersize())
                line.set_markeredgewidth(0.5 * line.get_markeredgewidth())
            for ax in self.axes:
                _wrap_titles(ax, self.get_figwidth())
        glyphs = _glyphs()
        for text in self.findobj(Text):
            text.set_parse_math(False)
            words = text.get_text()
            if not (words.isascii() and words.isprintable()):
                text.set_text(glyphs.shown(words))
                if not words.isascii():
                    text.set_fontfamily(glyphs.families)
            if self.paper:
                text.set_fontsize(min(text.get_fontsize(), POINTS))


def _wrap_titles(ax: Any, width: float) -> None:
    """Break titles that are wider than their axes, of a figure of ``width`` inches."""
    place = ax.get_subplotspec()
    columns = 1 if place is None else place.get_gridspec().ncols
    for side in ("left", "center", "right"):
        title = ax.get_title(loc=side)
        if title:
            ax.set_title(fill(title, int(CHARACTERS * (width - 0.2) / columns)), loc=side)


class Glyphs:
    """What the fonts at hand can draw."""

    def __init__(self) -> None:
        names = {font.name for font in fontManager.ttflist}
        default = FontProperties().get_family()
        self.families = [*default, *(name for name in FALLBACK if name in names)]
        self._fonts: list[Any] | None = None

    def shown(self, text: str) -> str:
        """The text with escapes for what cannot be printed or has no glyph."""
        return "".join(c if c.isascii() or self._has(c) else _escape(c) for c in visible(text, keep="\n"))

    def _has(self, character: str) -> bool:
        if self._fonts is None:
            found = (fontManager.findfont(FontProperties(family=[name])) for name in self.families)
            self._fonts = [get_font(path) for path in found]
        return any(font.get_char_index(ord(character)) for font in self._fonts)


@lru_cache(maxsize=1)
def _glyphs() -> Glyphs:
    return Glyphs()


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _formatter(formatter: Any, axis: Any) -> Any:
    """The formatter of tick labels in the format of all pictures."""
    if type(formatter) is ScalarFormatter:
        return _bound(Numbers(), axis)
    if isinstance(formatter, LogFormatter) and not isinstance(formatter, Powers):
        formatter.__class__ = Powers  # keeps base and thresholds, which matplotlib sets and does not tell
    if type(formatter) is FuncFormatter:
        return _bound(_Shown(formatter.func), axis)
    return formatter


def _bound(formatter: Any, axis: Any) -> Any:
    formatter.set_axis(axis)
    return formatter


class _Shown(FuncFormatter):
    """Labels that were given, made visible."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return _glyphs().shown(str(super().__call__(x, pos)))


class Numbers(Formatter):
    """Plain numbers, 12,000 and 0.005; powers of ten beyond 0.001 and 10⁷; never a factor or offset beside the axis."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Any) -> list[str]:
        """All labels of an axis, with as many digits as tell them apart."""
        places = [float(value) for value in values]
        reach = max((abs(place) for place in places if math.isfinite(place)), default=0.0)
        if reach and not 1e-3 <= reach < 1e7:
            return [scientific(place) for place in places]
        digits = next((n for n in range(13) if all(_is_near(round(p, n), p, reach) for p in places)), 13)
        return [f"{round(place, digits) + 0.0:,.{digits}f}".replace("-", "−") for place in places]


def _is_near(rounded: float, value: float, reach: float) -> bool:
    return abs(rounded - value) <= 1e-9 * reach or not math.isfinite(value)


def scientific(x: float) -> str:
    """A number as digits and a power of ten: 2.5·10⁻⁷."""
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    digits, _, power = f"{x:.3e}".partition("e")
    digits = digits.rstrip("0").rstrip(".").replace("-", "−")
    return f"{digits}·10{str(int(power)).translate(_SUPERSCRIPT)}"


class Powers(LogFormatterSciNotation):
    """Labels of logarithmic axes, 0.1, 1, 100 and 10⁴, without mathematical typesetting."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = str(super().__call__(x, pos))
        if not text:
            return ""
        if x == 0 or 0.01 <= abs(x) < 10000:
            return f"{x:g}".replace("-", "−")
        plain = text.replace("$", "").replace(r"\mathdefault{", "").replace(r"\times", "·").strip()
        plain = plain.removesuffix("}") if plain.count("}") > plain.count("{") else plain
        return _POWER.sub(lambda found: found[1].translate(_SUPERSCRIPT), plain)
