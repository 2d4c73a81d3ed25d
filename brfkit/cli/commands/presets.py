"""``brfkit presets``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.command import cli_command
from brfkit.cli.display import console, say
from brfkit.cli.options import common, print_json
from brfkit.cli.parameters import PresetName


@cli_command()
@click.argument("name", required=False, type=PresetName())
@common
def command(name: str | None, as_json: bool) -> None:
    """List the presets of training settings, or show one of them.

    DATASET-NEURON are the settings that `brfkit train` takes for a data set and neuron; others are asked for by
    --preset. With NAME: every setting that it resolves to, as a file for --config.

    \b
    brfkit presets
    brfkit presets ecg-brf
    brfkit presets ecg-brf > ecg.toml
    """
    from brfkit.runs.presets import preset_names, preset_title
    from brfkit.runs.resolve import resolve

    if name is None:
        rows = [_summary(one, preset_title(one), resolve(preset=one)) for one in preset_names()]
        if as_json:
            print_json({"presets": rows})
        else:
            _print_list(rows)
        return
    config, title = resolve(preset=name), preset_title(name)
    if as_json:
        print_json({"name": name, "title": title, "settings": config.to_dict()})
    else:
        say(config_toml(config.to_dict(), title))


def _summary(name: str, title: str, config: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "dataset": config.data.dataset,
        "neuron": config.network.title,
        "hidden": list(config.network.hidden),
        "epochs": config.training.epochs,
    }


def _print_list(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("preset", "neuron", "hidden", "epochs", ""):
        table.add_column(heading, justify="right" if heading == "epochs" else "left", no_wrap=heading != "")
    for row in rows:
        sizes = ",".join(map(str, row["hidden"]))
        table.add_row(row["name"], row["neuron"], sizes, str(row["epochs"]), row["title"])
    console().print(table)
    say("\nbrfkit presets NAME shows all settings; brfkit train --preset NAME takes them.")


def config_toml(sections: dict[str, dict[str, Any]], title: str = "") -> str:
    """A configuration as TOML that ``--config`` reads; what is unset is left out."""
    lines = [f"# {title}", ""] if title else []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
        lines.append("")
    return "\n".join(lines).rstrip("\n")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        import json

        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        inner = ", ".join(f"{_toml(str(key))} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
