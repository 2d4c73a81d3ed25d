"""``brfkit stability``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import constant, finite, interval
from brfkit.cli.checks import settings as checked_settings
from brfkit.cli.command import cli_command, option
from brfkit.cli.commands.frequency import TABLES
from brfkit.cli.options import (
    check_outputs,
    chosen_parts,
    common,
    computing,
    dtype,
    output,
    parts,
    print_json,
    print_table,
)
from brfkit.cli.parameters import CheckpointPath, NeuronName


@cli_command()
@option("--neuron", type=NeuronName(), help="Model with ω and b'.  [default: brf, or the checkpoint's]")
@option("--omega", metavar="LOW:HIGH", callback=interval,
        help="Range of ω, rad per unit time.  [default: 0 to where no b is stable]")  # fmt: skip
@option("--b", "b", metavar="LOW:HIGH", callback=interval,
        help="Range of the damping b at q = 0, p(ω) - b' for BRF.  [default: all that is stable]")  # fmt: skip
@option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A constant of the neuron.")
@parts
@option("--dt", type=click.FloatRange(0, min_open=True), callback=finite,
        help="Time step δ.  [default: 0.01, or the checkpoint's]")  # fmt: skip
@option("--neurons", type=click.IntRange(1), default=20_000, show_default=True, help="Simulated neurons.")
@option("--steps", type=click.IntRange(256), default=65_536, show_default=True,
        help="Steps after which an undecided neuron is judged.")  # fmt: skip
@option("--checkpoint", type=CheckpointPath(), help="Draw the neurons of a trained network, before and after.")
@dtype("float64")
@output(out=TABLES, plot=True)
@computing
@common
def command(as_json: bool, **options: Any) -> None:
    """The ω–b plane: where a resonator diverges, in theory and simulated.

    A discrete resonator is stable where the transition matrix of its step has a spectral radius below 1. Simulated
    neurons, drawn uniformly over the plane, are pushed slightly and come back or run away.

    \b
    brfkit stability --neuron rf --dt 0.01 --plot plane.png
    brfkit stability --omega 0:60 --b -5:1 --out plane.csv
    brfkit stability --checkpoint runs/ecg --plot trained.png
    """
    from brfkit.analysis.neuron.stability.map import stability_map
    from brfkit.cli.progress import progress
    from brfkit.neurons import get_neuron

    files = check_outputs(options["force"], options["out"], options["plot"])
    constants = {name: constant(name, text) for name, text in checked_settings(options["settings"]).items()}
    chosen = chosen_parts(options)
    if options["checkpoint"] and (chosen or constants or options["dt"] is not None):
        raise click.UsageError("--checkpoint has its own --dt, constants and parts; leave them out.")
    if chosen or constants:
        get_neuron(options["neuron"] or "brf").resolve_options(chosen)
    with progress("simulating", "neuron-steps") as advance:
        result = stability_map(
            options["neuron"],
            options=chosen,
            constants=constants,
            progress=advance,
            **{
                name: options[name]
                for name in (
                    "omega", "b", "dt", "neurons", "checkpoint", "steps", "dtype", "backend", "threads", "seed",
                )
            },
        )  # fmt: skip
    _write(result, options)
    if as_json:
        print_json(result.to_dict())
    else:
        _report(result.to_dict(), files)


def _report(facts: dict[str, Any], files: list[str]) -> None:
    facts["agreement"] = f"{facts['agreement']:.4f} %"
    facts["neuron_steps_per_second"] = f"{facts['neuron_steps_per_second']:.3g}"
    for name, one in facts.pop("network").items():
        facts[f"network {name} training"] = f"{one['stable']} of {one['neurons']} stable"
        facts[f"largest radius {name}"] = f"{one['largest_radius']:.7f}"
    if facts["upper_boundary_from_closed_form"] is None:
        del facts["upper_boundary_from_closed_form"]
    facts |= {"written": ", ".join(files)} if files else {}
    print_table(f"Stability of {facts['neuron']}", facts)


def _write(result: Any, options: dict[str, Any]) -> None:
    if options["out"]:
        from brfkit.io.tables import write_table

        write_table(options["out"], result.columns(), options["force"])
    if options["plot"]:
        from brfkit.io.atomic import atomic_path
        from brfkit.plotting.stability import stability_figure

        with atomic_path(options["plot"], options["force"]) as path:
            stability_figure(result).savefig(path)
