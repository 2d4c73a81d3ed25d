"""``brfkit simulate``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import constant, finite, refuse_twice, values
from brfkit.cli.checks import settings as checked_settings
from brfkit.cli.command import DATA, cli_command, option, refuse_given
from brfkit.cli.display import note
from brfkit.cli.options import (
    PARTS,
    check_outputs,
    chosen_parts,
    common,
    computing,
    data_dir,
    dtype,
    output,
    parts,
    permutation,
    print_json,
    print_table,
    split,
)
from brfkit.cli.parameters import CheckpointPath, DatasetName, NeuronName

TRACES = (".npz", ".h5", ".csv")
# What says something about a current or a neuron, which a trained network has already.
FOR_NEURONS = (
    "omega", "b_offset", "settings", *(f"no_{part}" for part in PARTS), "discretisation", "dt", "steps", "neurons",
    "stimulus", "amplitude", "frequency", "start", "stop",
)  # fmt: skip
FOR_NETWORKS = ("dataset", "sample", "split", "permutation", "data_dir")


@cli_command()
@option("--neuron", type=NeuronName(), default="brf", show_default=True, help="Model; `brfkit neurons` lists them.")
@option("--omega", metavar="W", callback=values, help="ω, rad per unit time: 10, or 5,10,20, or 5:50.")
@option("--b-offset", metavar="B", callback=values, help="Damping offset b', in the same forms.")
@option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any parameter or constant of the neuron.")
@parts
@option("--dt", type=click.FloatRange(0, min_open=True), default=0.01, show_default=True, callback=finite,
        help="Time step δ.")  # fmt: skip
@option("--steps", type=click.IntRange(1), help="Time steps.  [default: 1000, or as many as FILE has]")
@option("--neurons", type=click.IntRange(1), help="Size of the population.  [default: 1, or as lists are long]")
@option("--stimulus", default="sine", show_default=True, metavar="pulse|step|sine|chirp|noise|FILE",
        help="Current; FILE is .npy or .csv, (steps,) or (steps, neurons).")  # fmt: skip
@option("--amplitude", type=float, callback=finite, help="Current.  [default: one that makes the neuron spike]")
@option("--frequency", type=float, callback=finite,
        help="Of sine and pulse train, middle of a chirp, in units of ω.  [default: the neuron's]")  # fmt: skip
@option("--start", type=click.FloatRange(0), default=0.0, show_default=True, callback=finite,
        help="Time at which the current begins.")  # fmt: skip
@option("--stop", type=float, callback=finite, help="Time at which it ends.  [default: the end; a pulse: δ]")
@option("--checkpoint", type=CheckpointPath(), panel=DATA, help="Run a trained network in place of single neurons.")
@option(
    "--dataset",
    type=DatasetName(),
    panel=DATA,
    help="With --checkpoint: where the sample comes from.  [default: as trained]",
)
@option(
    "--sample", type=click.IntRange(0), default=0, show_default=True, panel=DATA, help="With --checkpoint: its number."
)
@split()
@permutation
@dtype(None, "Precision.  [default: float32; reference backend: float64]")
@output(out=TRACES, out_help="Record t, input and every state", plot=True)
@data_dir
@computing
@common
@click.pass_context
def command(ctx: click.Context, as_json: bool, **options: Any) -> None:
    """Drive neurons and record every state.

    One neuron, a population of unconnected ones, or a trained network on one sample. Times are in the unit of δ.

    \b
    brfkit simulate --neuron brf --omega 10 --plot trace.png
    brfkit simulate --omega 5:50 --neurons 200 --stimulus chirp --plot raster.png --out trace.npz
    brfkit simulate --neuron lif --set tau_mem=30 --stimulus step
    brfkit simulate --checkpoint runs/ecg --sample 3 --plot network.png
    """
    _check_usage(ctx, options)
    files = check_outputs(options["force"], options["out"], options["plot"])
    result = _network(options) if options["checkpoint"] else _neurons(options, bool(files))
    _write(result, options)
    if as_json:
        print_json(result.to_dict())
    else:
        _report(result, files)


def _check_usage(ctx: click.Context, options: dict[str, Any]) -> None:
    def given(name: str) -> bool:
        return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE

    network = options["checkpoint"] is not None
    for name in FOR_NEURONS if network else FOR_NETWORKS:
        if given(name):
            flag = next(p.opts[0] for p in ctx.command.params if p.name == name)
            raise click.UsageError(f"{flag} does not go {'with' if network else 'without'} --checkpoint.", ctx)
    if options["stop"] is not None and options["stop"] <= options["start"]:
        raise click.UsageError(f"--stop {options['stop']:g} is not after --start {options['start']:g}.", ctx)
    refuse_twice(ctx, options["settings"])
    if not network and options["stimulus"] in ("step", "noise"):
        refuse_given(ctx, ("frequency",), f"has no effect on the stimulus {options['stimulus']}")
    if not network and options["stimulus"] != "noise" and given("seed"):
        note("--seed has no effect: nothing in this simulation is random")
    for text in checked_settings(options["settings"]).values():
        values(ctx, next(p for p in ctx.command.params if p.name == "settings"), text)


def _neurons(options: dict[str, Any], record: bool) -> Any:
    from brfkit.cli.progress import progress
    from brfkit.neurons import get_neuron
    from brfkit.simulation.population import simulate

    settings = checked_settings(options["settings"])
    spec = get_neuron(options["neuron"])
    constants = {name: constant(name, settings.pop(name)) for name in list(settings) if name in spec.constants}
    with progress("simulating", "steps") as advance:
        return simulate(
            options["neuron"],
            omega=options["omega"],
            b_offset=options["b_offset"],
            parameters=settings,
            constants=constants,
            options=chosen_parts(options),
            record=record,
            progress=advance,
            **{
                name: options[name]
                for name in (
                    "dt", "steps", "neurons", "stimulus", "amplitude", "frequency", "start", "stop", "dtype",
                    "backend", "threads", "seed",
                )
            },
        )  # fmt: skip


def _network(options: dict[str, Any]) -> Any:
    from brfkit.analysis.network.simulate import simulate_network

    context = click.get_current_context()
    chosen = context.get_parameter_source("neuron") is click.core.ParameterSource.COMMANDLINE
    names = ("dataset", "sample", "split", "permutation", "dtype", "backend", "threads", "data_dir", "seed")
    return simulate_network(
        options["checkpoint"],
        neuron=options["neuron"] if chosen else None,
        **{name: options[name] for name in names},
    )


def _write(result: Any, options: dict[str, Any]) -> None:
    if options["out"]:
        from brfkit.simulation.trace_file import write_trace

        write_trace(options["out"], result, options["force"])
    if options["plot"]:
        from brfkit.io.atomic import atomic_path

        with atomic_path(options["plot"], options["force"]) as path:
            _figure(result, options["checkpoint"] is not None).savefig(path)


def _figure(result: Any, network: bool) -> Any:
    if network:
        from brfkit.plotting.network_trace import network_figure

        return network_figure(result)
    from brfkit.plotting.traces import trace_figure

    return trace_figure(result)


def _report(result: Any, files: list[str]) -> None:
    rows = {**result.to_dict()}
    if result.diverged:
        rows["diverged"] = f"yes, from step {result.diverged_at} (t = {result.t[result.diverged_at]:.4g}) on"
        growth = getattr(result, "amplification", None)
        if growth is not None and growth.max() > 1:
            rows["diverged"] += f"; a deviation grows by {growth.max():.4g} per step"
    rows |= {"written": ", ".join(files)} if files else {}
    print_table(f"Simulation of {result.neuron}", rows)
