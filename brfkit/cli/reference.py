"""Writes the command-line reference from the commands themselves: ``python -m brfkit.cli.reference docs/cli.md``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from brfkit.cli import COMMANDS, cli

_HEAD = """# Command-line reference

Written by `make docs` from the commands themselves; a test compares it with them.

Exit codes: 0 done; 1 an error, told in one line `Error: …`; 2 wrong usage; 130 interrupted.
"""


def reference() -> str:
    """The whole reference as Markdown."""
    parts = [_HEAD, _section(["brfkit"], cli)]
    root = click.Context(cli, info_name="brfkit")
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        parts += _tree(["brfkit", name], command, root)
    return "\n".join(parts)


def _tree(path: list[str], command: click.Command, parent: click.Context) -> list[str]:
    """A command and, where it is a group, its subcommands."""
    parts = [_section(path, command)]
    if isinstance(command, click.Group):
        ctx = click.Context(command, info_name=path[-1], parent=parent)
        for name in command.list_commands(ctx):
            sub = command.get_command(ctx, name)
            assert sub is not None
            parts += _tree([*path, name], sub, ctx)
    return parts


def _section(path: list[str], command: click.Command) -> str:
    ctx = click.Context(command, info_name=" ".join(path), terminal_width=100, max_content_width=100)
    text = "\n".join(line.rstrip() for line in command.get_help(ctx).splitlines())
    return f"## `{' '.join(path)}`\n\n```text\n{text}\n```\n"


def write(path: str) -> None:
    Path(path).write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
