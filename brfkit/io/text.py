"""Text from files and file names, made safe where it is shown: terminal, picture, LaTeX, CSV. HTML has its own."""

from __future__ import annotations

import unicodedata

# Cc: control characters, escape sequences among them. Cf: marks without a picture, which can turn text around.
# Cs: halves of surrogate pairs, as Python makes of file names that are not UTF-8. Zl and Zp: further line ends.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "×": r"$\times$",
    "–": "--", "—": "---", "…": r"\dots{}", "°": r"$^\circ$", "µ": r"$\mu$", "μ": r"$\mu$", "′": "$'$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "θ": r"$\theta$", "ω": r"$\omega$",
    "τ": r"$\tau$", "π": r"$\pi$", "Δ": r"$\Delta$", "Ω": r"$\Omega$", "≥": r"$\geq$", "≤": r"$\leq$",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip
_FORMULA = ("=", "+", "-", "@")


def visible(text: object, keep: str = "") -> str:
    """`text` with every character that a terminal would act upon written out, such as ``\\x1b`` or ``\\u202e``.

    Args:
        text: anything; it is taken as ``str`` gives it.
        keep: characters that stay as they are, such as a newline in text of several lines.
    """
    return "".join(c if c in keep or not _is_hidden(c) else _escape(c) for c in str(text))


def markup(text: object, keep: str = "") -> str:
    """`text` for a place where rich reads markup: square brackets stay what they are, and see :func:`visible`."""
    from rich.markup import escape

    return escape(visible(text, keep))


def latex(text: object) -> str:
    """Visible text for LaTeX with every special character escaped; what T1 fonts do not have becomes its code point."""
    return "".join(_LATEX.get(c) or (c if _in_t1(c) else f"[U+{ord(c):04X}]") for c in visible(text))


def _in_t1(character: str) -> bool:
    return character.isascii() or (character.isalpha() and ord(character) < 0x180)


def csv_cell(text: object) -> str:
    """Visible text for a cell of a CSV file; one that a spreadsheet would take for a formula begins with an apostrophe.

    Numbers stay as they are.
    """
    shown = visible(text)
    if not shown.lstrip().startswith(_FORMULA):
        return shown
    try:
        float(shown)
    except ValueError:
        return f"'{shown}"
    return shown


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
