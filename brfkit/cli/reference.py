"""Writes the command-line reference from the commands themselves: ``python -m brfkit.cli.reference docs/cli.md``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click

from brfkit.cli import COMMANDS, cli
from brfkit.runs.config import Config
from brfkit.runs.layers import LayerConfig
from brfkit.runs.settings import Declared, declared

_HEAD = """# Command-line reference

Written by `make docs` from the commands themselves; a test compares it with them.

Exit codes: 0 done; 1 an error, in one line `Error: …`; 2 wrong usage; 130 interrupted; 143 terminated (SIGTERM).

Shell completion of commands, options, neurons, data sets, presets and run folders: put the line for your shell into its
start-up file.

```sh
eval "$(_BRFKIT_COMPLETE=bash_source brfkit)"         # bash, ~/.bashrc
eval "$(_BRFKIT_COMPLETE=zsh_source brfkit)"          # zsh, ~/.zshrc
_BRFKIT_COMPLETE=fish_source brfkit | source          # fish, ~/.config/fish/config.fish
```
"""
_SETTINGS = """`--config FILE` (TOML or JSON) and `--set SECTION.KEY=VALUE` take these keys; lists may be written
`[128, 64]` or `128,64`. A preset, the file, `--set` and options come in this order, each over the one before it."""

_LAYERS = """A hidden layer of [its own settings](networks.md); what it leaves out is as `[network]` says."""


def reference() -> str:
    """The whole reference as Markdown."""
    parts = [_HEAD, _section(["brfkit"], cli)]
    root = click.Context(cli, info_name="brfkit")
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        parts += _tree(["brfkit", name], command, root)
    return "\n".join([*parts, _settings()])


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
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"], "terminal_width": 100, "max_content_width": 100}
    ctx = command.context_class(command, info_name=" ".join(path), **{**command.context_settings, **settings})
    text = "\n".join(line.rstrip() for line in command.get_help(ctx).strip("\n").splitlines())
    return f"## `{' '.join(path)}`\n\n```text\n{text.rstrip()}\n```\n"


def _settings() -> str:
    """Every key of a configuration, from its field."""
    rows = ["## Configuration", "", _SETTINGS, "", "| key | option | value | default | |", "|---|---|---|---|---|"]
    default = Config()
    for section in dataclasses.fields(Config):
        for one in declared(section.name, type(getattr(default, section.name))).values():
            if one.setting is not None:
                option = f"`{one.option}`" if one.option else ""
                rows.append(f"| `{one.key}` | {option} | {_value(one)} | {_default(one)} | {one.setting.help} |")
    rows += ["", _LAYERS, "", "| key of `[[network.layers]]` | value | |", "|---|---|---|"]
    for one in declared("network.layers", LayerConfig).values():
        assert one.setting is not None
        rows.append(f"| `{one.name}` | {_value(one)} | {one.setting.help} |")
    return "\n".join(rows).replace("euler|", "euler\\|") + "\n"


def _value(one: Declared) -> str:
    assert one.setting is not None
    if one.setting.choices:
        return ", ".join(one.setting.choices)
    kind = {
        "int": "integer",
        "float": "number",
        "str": "text",
        "bool": "true or false",
        "Mapping": "table",
        "LayerConfig": "table",
    }[one.kind]
    words = [f"list of {kind}s" if one.several and one.kind == "int" else f"list of {kind}" if one.several else kind]
    interval = one.setting.interval() if one.setting.high != 2**63 - 1 else "at least 0"
    return f"positive {kind}" if interval == "positive" else " ".join([*words, *filter(None, [interval])])


def _default(one: Declared) -> str:
    if one.default is None or one.default in ((), {}):
        return ""
    return f"`{json.dumps(one.default)}`"


def write(path: str) -> None:
    Path(path).write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
