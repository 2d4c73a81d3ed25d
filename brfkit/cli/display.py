"""What is shown on the terminal. Text may come from files and file names, and nothing in it is obeyed."""

from __future__ import annotations

from typing import Any

import click

from brfkit.io.text import visible


def say(text: str, err: bool = False) -> None:
    """One line or more of text on stdout, or stderr."""
    click.echo(visible(text, keep="\n"), err=err)


def note(text: str) -> None:
    """One line on stderr about something that the user may not expect."""
    say(f"note: {text}", err=True)


def console(**settings: Any) -> Any:
    """A console of rich's for tables with text as it is."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            how |= {"markup": False, "emoji": False, "highlight": False}
            return super().render_str(visible(text, keep="\n"), **how)

    return PlainConsole(markup=False, highlight=False, **settings)
