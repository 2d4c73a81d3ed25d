"""The page of a report: HTML that is also well-formed XML, with everything in it and no script."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from typing import Any

import brfkit
from brfkit.reports.parts import Advance, Block, Note, Picture, Section, Table
from brfkit.reports.style import STYLE

LARGEST_SVG = 600_000  # bytes; a picture with more in it is embedded as PNG
POINTS_PER_INCH = 72
_NUMBER = re.compile(r"[-+±–]?[\d,.]*(e[-+]?\d+)?%?( \(.*\))?|nan|inf|-inf")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def text(value: object) -> str:
    """Text for a page; what cannot be printed, which XML does not allow, becomes a replacement character."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(value)))


def render_section(section: Section, before: int, advance: Advance) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Draw the pictures of a section.

    Args:
        section: what to render.
        before: number of figures in front of it.
        advance: called with pictures done and pictures in all.

    Returns:
        Its HTML, and the commands of its pictures by their names.
    """
    total = sum(isinstance(block, Picture) for block in section.blocks)
    commands: dict[str, tuple[str, ...]] = {}
    parts = [f"<p>{text(section.intro)}</p>"]
    for block in section.blocks:
        parts.append(_block(block, before + len(commands) + 1))
        if isinstance(block, Picture):
            commands[block.name] = block.commands
            advance(len(commands), total)
    return "\n".join(parts), commands


def _block(block: Block, number: int) -> str:
    if isinstance(block, Picture):
        return _figure(block, number)
    if isinstance(block, Note):
        return f'<p class="note">{text(block.text)}</p>'
    return _table(block)


def _figure(picture: Picture, number: int) -> str:
    uri, width = embedded(picture.draw())
    # wide enough to be read: a narrow window moves over the picture rather than shrinking it to nothing
    size = f"min-width: min({width:.0f}px, 44rem); max-width: {1.4 * width:.0f}px"
    commands = "\n".join(text(line) for line in picture.commands)
    return (
        f'<figure id="figure-{text(picture.name)}">\n'
        f'<div class="scroll" tabindex="0" role="group" aria-label="Figure {number}">'
        f'<img src="{uri}" alt="{text(picture.alt)}" style="{size}" /></div>\n'
        f"<figcaption><strong>Figure {number}.</strong> {text(picture.caption)}</figcaption>\n"
        f'<pre tabindex="0" aria-label="Commands of figure {number}"><code>{commands}</code></pre>\n</figure>'
    )


def embedded(figure: Any) -> tuple[str, float]:
    """A matplotlib figure as a ``data:`` address, and its natural width in CSS pixels at 72 per inch.

    SVG stays sharp at every size; a picture that would be too large as SVG is a PNG.
    """
    import matplotlib

    buffer = io.BytesIO()
    width = float(figure.get_size_inches()[0]) * POINTS_PER_INCH
    unnamed = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # equal figures give equal bytes
    with matplotlib.rc_context({"svg.hashsalt": "brfkit", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata=unnamed)
    kind = "svg+xml"
    if buffer.tell() > LARGEST_SVG:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        kind = "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", width


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in table.columns)
    body = "\n".join(
        f'<tr><th scope="row">{text(row[0])}</th>' + "".join(f"<td>{text(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in table.rows
    )
    numbers = all(_NUMBER.fullmatch(cell) for row in table.rows for cell in row[1:])
    kind = ' class="pairs"' if len(table.columns) == 2 else ' class="numbers"' if numbers else ""
    caption = text(table.caption)
    inner = (
        f'<div class="table scroll" tabindex="0" role="group" aria-label="{caption}"><table{kind}>'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
    return f"<details><summary>{caption}</summary>\n{inner}\n</details>" if table.folded else inner


def render_page(
    name: str, path: str, sections: Sequence[tuple[str, str, str | None, str | None]], headline: Mapping[str, str]
) -> str:
    """The whole page.

    Args:
        name, path: what it is a report of, and where that is.
        sections: name, title, HTML of the section, or None and why it is missing.
        headline: figures for the top.
    """
    links = "\n".join(f'<li><a href="#{text(key)}">{text(title)}</a></li>' for key, title, _, _ in sections)
    figures = "\n".join(f"<div><dt>{text(label)}</dt><dd>{text(value)}</dd></div>" for label, value in headline.items())
    body = "\n".join(_section(*section) for section in sections)
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="{POLICY}" />
<title>{text(name)}: report of brfkit</title>
<link rel="icon" href="data:," />
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<div class="wrap">
<header>
<h1>{text(name)}</h1>
<p class="path">{text(path)}</p>
{f'<dl class="headline">{figures}</dl>' if figures else ""}
</header>
<div class="columns">
<nav aria-label="Sections"><ul>
{links}
</ul></nav>
<main id="content">
{body}
</main>
</div>
<footer>Made {made} by brfkit {text(brfkit.__version__)}. The line under each figure makes it on its own.</footer>
</div>
</body>
</html>
"""


def _section(key: str, title: str, body: str | None, reason: str | None) -> str:
    inner = body if body is not None else f'<p class="note">Not in this report: {text(reason)}</p>'
    return f'<section id="{text(key)}" aria-labelledby="{text(key)}-title">\n<h2 id="{text(key)}-title">' \
           f"{text(title)}</h2>\n{inner}\n</section>"  # fmt: skip
