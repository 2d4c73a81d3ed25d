"""``brfkit neurons``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.command import cli_command, option
from brfkit.cli.options import DTYPES, common, print_json
from brfkit.cli.parameters import NeuronName


@cli_command()
@click.argument("name", required=False, type=NeuronName())
@option("--kernel", type=click.Choice(["numba", "cuda", "torch", "numpy"]), help="Print NAME's generated code instead.")
@option("--units", type=click.IntRange(1), default=64, show_default=True, needs=("kernel",),
        help="Neurons of the kernel's layer.")  # fmt: skip
@option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True, needs=("kernel",),
        help="Precision of the kernel.")  # fmt: skip
@option("--backward", is_flag=True, needs=("kernel",), help="The kernel's backward pass in place of the forward pass.")
@option("--check", is_flag=True, excludes=("kernel",),
        help="Check NAME: text, spikes, gradients against autograd, fused scans, speed.")  # fmt: skip
@option("--new", type=click.Path(dir_okay=False), excludes=("kernel", "check"),
        help="Write a neuron file to start from.")  # fmt: skip
@option("--force", is_flag=True, needs=("new",), help="Overwrite the file of --new.")
@common
def command(name: str | None, kernel: str | None, as_json: bool, **options: Any) -> None:
    """List the neuron models, or show one of them.

    NAME may be the file of a custom neuron, my.py, or my.py:NAME where it holds several neurons. It is executed.

    With NAME: its equations, states, parameters with units, defaults and initial values, constants and which of them
    can be trained, discretisations, the parts that can be switched off, the surrogate gradient and the source.

    With --kernel: the text that the backend compiles for a layer of this neuron, in sections, with the neuron's own
    statements as comments.

    \b
    brfkit neurons
    brfkit neurons brf
    brfkit neurons brf --kernel numba --backward
    brfkit neurons --new my.py
    brfkit neurons my.py --check
    """
    from brfkit.neurons import NEURONS, get_neuron

    _refuse_unused(name, kernel, options)
    if options["new"]:
        _write_template(options["new"], options["force"], as_json)
        return
    if options["check"]:
        _check(str(name), as_json)
        return
    if kernel is not None:
        _print_kernel(str(name), kernel, options["units"], options["dtype"], options["backward"], as_json)
        return
    if name is None:
        facts = [describe(neuron) for neuron in NEURONS.values()]
        if as_json:
            print_json({"neurons": facts})
        else:
            _print_list(facts)
        return
    one = describe(get_neuron(name))
    if as_json:
        print_json(one)
    else:
        _print_one(one)


def _refuse_unused(name: str | None, kernel: str | None, options: dict[str, Any]) -> None:
    """Options that would do nothing are wrong usage."""
    if name is None and (kernel is not None or options["check"]):
        raise click.UsageError(f"--{'check' if options['check'] else 'kernel'} needs the NAME of a neuron")
    if options["new"] and name is not None:
        raise click.UsageError("--new takes no NAME")


def _write_template(path: str, force: bool, as_json: bool) -> None:
    from pathlib import Path

    from brfkit.errors import BrfkitError
    from brfkit.io.atomic import atomic_write
    from brfkit.neurons.plugin import template

    if Path(path).suffix != ".py":
        raise BrfkitError(f"{path}: a neuron file ends in .py")
    with atomic_write(path, "w", force) as stream:
        stream.write(template(Path(path)))
    if as_json:
        print_json({"file": path})
    else:
        click.echo(f"{path} holds a neuron to start from; `brfkit neurons {path} --check` checks it.")


def _check(name: str, as_json: bool) -> None:
    from brfkit.analysis.neuron.check import check_neuron

    report = check_neuron(name)
    if as_json:
        print_json(report.to_dict())
    else:
        table = _table(f"Checks of {report.neuron}", "", "check", "")
        for check in report.checks:
            table.add_row("ok" if check.passed else "FAILED", check.name, _escaped(check.detail))
        from rich.console import Console

        Console().print(table)
    if not report.passed:
        raise click.exceptions.Exit(1)


def _escaped(text: str) -> str:
    from brfkit.io.text import markup

    return markup(text)


def _print_kernel(name: str, kernel: str, units: int, dtype: str, backward: bool, as_json: bool) -> None:
    from brfkit.backends.listing import KernelListing

    text = KernelListing(name, kernel, units, dtype, backward).text()
    if as_json:
        settings = {"units": units, "dtype": dtype, "backward": backward}
        print_json({"neuron": name, "kernel": kernel, **settings, "text": text})
    else:
        click.echo(text, nl=False)


def describe(neuron: Any) -> dict[str, Any]:
    """A neuron's specification as plain values."""
    from brfkit.neurons import get_surrogate

    surrogate = None
    if neuron.surrogate is not None:
        surrogate = {"name": neuron.surrogate, "formula": get_surrogate(neuron.surrogate).formula}
    return {
        "name": neuron.name,
        "title": neuron.title,
        "doc": neuron.doc,
        "source": neuron.source,
        "spiking": neuron.spiking,
        "equations": list(neuron.equations),
        "states": list(neuron.states),
        "parameters": [
            {
                "name": p.name,
                "symbol": p.symbol,
                "unit": p.unit,
                "default": p.default,
                "init": str(p.init),
                "doc": p.doc,
            }
            for p in neuron.parameters
        ],
        "constants": dict(neuron.constants),
        "trainable": [
            {"name": t.name, "symbol": t.symbol, "unit": t.unit, "default": neuron.constants[t.name], "doc": t.doc}
            for t in neuron.trainable
        ],
        "discretisations": [
            {"name": name, "doc": d.doc, "equations": list(d.equations)} for name, d in neuron.discretisations.items()
        ],
        "options": [{"name": o.name, "default": o.default, "doc": o.doc} for o in neuron.options],
        "surrogate": surrogate,
    }


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, header_style="italic")
    return table


def _print_list(facts: list[dict[str, Any]]) -> None:
    from rich.console import Console

    table = _table("", "neuron", "model", "states", "parameters")
    for one in facts:
        parameters = ", ".join(p["symbol"] for p in one["parameters"])
        table.add_row(f"[bold]{one['name']}[/]", one["title"], " ".join(one["states"]), parameters)
    console = Console()
    console.print(table)
    console.print("\nbrfkit neurons NAME shows equations, units, defaults and source.", highlight=False)


def _print_one(one: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    console = Console(highlight=False)
    console.print(f"[bold]{one['name']}[/]  {one['title']}\n{escape(one['doc'])}\n")
    console.print("[bold]Equations[/]")
    for equation in one["equations"]:
        console.print(Padding(escape(equation), (0, 0, 0, 2)))
    states = ", ".join(one["states"])
    spikes = "z spikes" if one["spiking"] else "no spikes"
    console.print(f"\n[bold]States[/]  {states}; all 0 at the start; {spikes}\n")
    table = _table("Parameters", "", "name", "unit", "default", "init", "")
    for p in one["parameters"]:
        cells = (p["symbol"], p["name"], p["unit"], f"{p['default']:g}", p["init"], p["doc"])
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    if one["constants"]:
        values = ", ".join(f"{name} = {value:g}" for name, value in one["constants"].items())
        console.print(f"\n[bold]Constants[/]  {values}")
    for t in one["trainable"]:
        name = f"--trainable {t['name']}"
        console.print(f"[bold]Can be trained[/]  {name}: {escape(t['symbol'])}, {escape(t['doc'])}")
    if one["discretisations"]:
        console.print()
        table = _table("Discretisations, the first is the default", "--discretisation", "")
        for d in one["discretisations"]:
            table.add_row(d["name"], escape("\n".join([d["doc"], *d["equations"]])))
        console.print(table)
    if one["options"]:
        console.print()
        table = _table("Parts that can be switched off", "option", "")
        for option in one["options"]:
            table.add_row(f"--no-{option['name'].replace('_', '-')}", escape(option["doc"]))
        console.print(table)
    if one["surrogate"]:
        console.print(f"\n[bold]Surrogate[/]  {one['surrogate']['name']}: {escape(one['surrogate']['formula'])}")
    console.print(f"\n[bold]Source[/]  {escape(one['source'])}")
