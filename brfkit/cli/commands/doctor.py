"""``brfkit doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brfkit.cli.command import cli_command
from brfkit.cli.display import console
from brfkit.cli.options import common, print_json


@cli_command()
@common
def command(as_json: bool) -> None:
    """Diagnosis of the installation: backends, drivers, versions, threads, folders.

    Every backend that can be used runs a small network; the first time its kernels are compiled. What is missing is
    named with what to install.

    \b
    brfkit doctor
    brfkit doctor --json
    """
    from brfkit.doctor import examine

    found = examine()
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines(found):
        table.add_row(name, Text(text))  # plain: [cuda12] is no markup
    console().print(table)


def lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The report for people, a name and a text per line."""
    cuda, cpu, folders = found["cuda"], found["cpu"], found["folders"]
    rows = [("brfkit", f"{found['brfkit']}, Python {found['python']}, {found['system']}")]
    for name, state in found["backends"].items():
        rows.append((f"backend {name}", _backend(state, found["trials"].get(name))))
    rows.append(("backend auto", f"takes {found['auto']}"))
    driver = cuda["driver"] or "no version known"
    rows.append(("driver", cuda["problem"] or f"{driver}, CUDA {cuda['cuda_of_driver']}: {', '.join(cuda['devices'])}"))
    rows.append(("CuPy", _facts(cuda["cupy"])))
    rows.append(("torch", _facts(found["torch"])))
    layer = cpu["numba_threading_layer"] or "none"
    rows.append(("threads", f"{cpu['threads']} of {cpu['processors']} processors; numba's threading layer: {layer}"))
    writable = "" if folders["cache_writable"] else ", cannot be written"
    rows.append(("cache", f"{folders['cache']} ({folders['cache_mib']} MiB{writable})"))
    rows += [(f"cache/{name}", f"not used: {it}") for name, it in folders["compiled_code"].items() if it != "ok"]
    rows.append(("data", f"{folders['data']}: {', '.join(folders['data_sets']) or 'nothing there'}"))
    rows.append(("packages", ", ".join(f"{n} {v or 'missing'}" for n, v in found["packages"].items())))
    return rows


def _backend(state: str, trial: Mapping[str, Any] | None) -> str:
    if trial is None:
        return state
    return f"ok, {trial['seconds']} s for a small network" if trial["works"] else f"fails: {trial['problem']}"


def _facts(facts: Mapping[str, Any]) -> str:
    if facts["problem"]:
        return str(facts["problem"])
    named = {k: ", ".join(v) if isinstance(v, list) else v for k, v in facts.items() if k != "problem"}
    return ", ".join(f"{name} {value or 'none'}" for name, value in named.items())
