"""``brfkit frequency``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import constant, finite, interval, refuse_twice, values
from brfkit.cli.checks import settings as checked_settings
from brfkit.cli.command import cli_command, option, refuse_given
from brfkit.cli.options import (
    PARTS,
    check_outputs,
    chosen_parts,
    common,
    computing_without_chance,
    dtype,
    output,
    parts,
    print_json,
    print_table,
    print_written,
)
from brfkit.cli.parameters import NeuronName

TABLES = (".csv", ".npz")
MEASURES = ("sine", "chirp", "spikes")


def _measures(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = tuple(name for name in value.split(",") if name and name != "none")
    for name in names:
        if name not in MEASURES:
            raise click.BadParameter(f"{name!r} is none of {', '.join(MEASURES)}, none")
    return names


@cli_command()
@option("--neuron", type=NeuronName(), default="brf", show_default=True, help="Model; `brfkit neurons` lists them.")
@option("--omega", metavar="W", callback=values, help="ω, rad per unit time: 10, or 5,10,20, or 5:50.")
@option("--b-offset", metavar="B", callback=values, help="Damping offset b', in the same forms.")
@option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any parameter or constant of the neuron.")
@parts
@option("--vary", metavar="NAME[=VALUES]",
        help="Compare: dt=0.001,0.01, omega=5,10,20 or discretisation=euler,exact; or a part, on and off: "
        "refractory, smooth-reset, divergence-boundary.")  # fmt: skip
@option("--dt", type=click.FloatRange(0, min_open=True), default=0.01, show_default=True, callback=finite,
        help="Time step δ.")  # fmt: skip
@option("--neurons", type=click.IntRange(1), help="Size of the population.  [default: 1, or as lists are long]")
@option("--frequencies", metavar="LOW:HIGH", callback=interval,
        help="Input frequencies, rad per unit time.  [default: 0.1:100, below π/δ]")  # fmt: skip
@option("--points", type=click.IntRange(2), default=200, show_default=True, help="How many of them.")
@option("--scale", type=click.Choice(["log", "linear"]), help="[default: log; linear for 8 neurons and more]")
@option("--state", metavar="SYMBOL", help="State that responds.  [default: the first, u]")
@option("--measure", metavar="LIST", callback=_measures,
        help="Simulate: of sine,chirp,spikes, or none.  [default: all; sine,spikes for 8 neurons and more]",
              )  # fmt: skip
@option("--amplitude", type=float, callback=finite,
        help="Current of a pulse of a spike train.  [default: lifts the state to 0.7 of the threshold]",
              )  # fmt: skip
@option("--duration", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True, callback=finite,
        help="Of spike trains, chirp and sines.")  # fmt: skip
@dtype("float64")
@output(out=TABLES, plot=True)
@computing_without_chance
@common
def command(as_json: bool, **options: Any) -> None:
    """Frequency response of a neuron: gain, phase, resonance, spikes.

    The response of the discrete neuron below threshold follows from its update; simulated neurons under sines, a chirp
    and spike trains measure it again. Frequencies are in rad per unit time, the unit of ω.

    \b
    brfkit frequency --neuron brf --omega 10 --b-offset 1 --plot bode.png
    brfkit frequency --omega 0:99 --neurons 100 --dt 0.001 --points 1000 --plot map.png --out map.csv
    brfkit frequency --neuron rf --b-offset 2 --vary dt=0.001,0.01,0.02 --plot dt.png
    """
    _check_effects(options)
    files = check_outputs(options["force"], options["out"], options["plot"])
    responses = [(name, _respond(options, change)) for name, change in _variants(options)]
    _write(responses, options)
    facts = responses[0][1].to_dict()
    if options["vary"]:
        facts["variants"] = [{"name": name, **response.to_dict()} for name, response in responses]
    if as_json:
        print_json(facts)
        return
    for name, response in responses:
        _report(name, response)
    print_written(files)


def _check_effects(options: dict[str, Any]) -> None:
    ctx = click.get_current_context()
    varied = (options["vary"] or "").partition("=")[0].replace("-", "_")
    name = f"no_{varied}" if varied in PARTS else varied
    refuse_twice(ctx, options["settings"], name or None)
    if options["measure"] == ():
        refuse_given(ctx, ("amplitude", "duration"), "has no effect where nothing is simulated")
    elif options["measure"] is not None and "spikes" not in options["measure"]:
        refuse_given(ctx, ("amplitude",), "has no effect without spike trains (--measure spikes)")


def _variants(options: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Names of what is compared, and what of the settings each changes."""
    if not options["vary"]:
        return [("", {})]
    name, equals, text = options["vary"].partition("=")
    key = name.replace("-", "_")
    if key in PARTS:
        if equals:
            raise click.UsageError(f"--vary {name} is a part that is on or off and takes no values.")
        words = name.replace("_", " ").replace("-", " ")
        return [(f"with {words}", {"parts": {key: True}}), (f"without {words}", {"parts": {key: False}})]
    if key == "discretisation" and text:
        return [(value, {"parts": {key: value}}) for value in text.split(",")]
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--vary {options['vary']!r} is not of the form NAME=VALUE,VALUE,…") from None
    if key == "dt":
        return [(f"δ = {value:g}", {"dt": value}) for value in values]
    from brfkit.neurons import get_neuron

    symbol = get_neuron(options["neuron"]).parameter(key).symbol
    return [(f"{symbol} = {value:g}", {"parameters": {key: value}}) for value in values]


def _respond(options: dict[str, Any], change: dict[str, Any]) -> Any:
    from brfkit.analysis.neuron.frequency.response import frequency_grid, frequency_response
    from brfkit.cli.progress import progress
    from brfkit.neurons import get_neuron

    settings: dict[str, Any] = checked_settings(options["settings"])
    spec = get_neuron(options["neuron"])
    constants = {name: constant(name, settings.pop(name)) for name in list(settings) if name in spec.constants}
    for name in ("omega", "b_offset"):
        if options[name] is not None:
            settings[name] = options[name]
    settings |= change.get("parameters", {})
    dt = change.get("dt", options["dt"])
    many = (options["neurons"] or _longest(settings)) > 7
    scale = options["scale"] or ("linear" if many else "log")
    low, high = options["frequencies"] or (None, None)
    measure = options["measure"]
    if measure is None:
        measure = ("sine", "spikes") if many else MEASURES
    with progress("measuring", "neuron-steps") as advance:
        return frequency_response(
            options["neuron"],
            parameters=settings,
            constants=constants,
            options=chosen_parts(options) | change.get("parts", {}),
            dt=dt,
            neurons=options["neurons"],
            frequencies=frequency_grid(dt, low, high, options["points"], scale == "log"),
            observed=options["state"],
            measure=measure,
            progress=advance,
            **{name: options[name] for name in ("amplitude", "duration", "dtype", "backend", "threads")},
        )


def _longest(settings: dict[str, Any]) -> int:
    return max((str(value).count(",") + 1 for value in settings.values()), default=1)


def _write(responses: list[tuple[str, Any]], options: dict[str, Any]) -> None:
    if options["out"]:
        import numpy as np

        from brfkit.io.tables import write_table

        tables = [response.columns() for _, response in responses]
        columns = {key: np.concatenate([table[key] for table in tables]) for key in tables[0]}
        if options["vary"]:
            names = [np.full(len(table["frequency"]), name) for (name, _), table in zip(responses, tables, strict=True)]
            columns = {"variant": np.concatenate(names), **columns}
        write_table(options["out"], columns, options["force"])
    if options["plot"]:
        from brfkit.io.atomic import atomic_path
        from brfkit.plotting.frequency import frequency_figure

        with atomic_path(options["plot"], options["force"]) as path:
            frequency_figure(responses).savefig(path)


def _report(name: str, response: Any) -> None:
    facts = response.to_dict()
    rows = {key: facts[key] for key in ("neuron", "backend", "dt", "neurons")}
    if facts["neurons"] == 1:
        rows |= {
            "peak": f"{facts['peak_frequency']:.5g} rad / time, {facts['peak_gain_db']:.4g} dB",
            "-3 dB band": f"{facts['lower']:.5g} to {facts['upper']:.5g}, width {facts['bandwidth']:.5g}",
            "Q": "none, a low pass" if facts["q"] != facts["q"] else facts["q"],
        }
    elif facts["unstable"]:
        rows["without steady response"] = facts["unstable"]
    rows |= {f"largest error, {kind}": f"{error:.2g}" for kind, error in facts["measured_error"].items()}
    if facts["spikes"] is not None:
        rows["spikes"] = facts["spikes"]
    if facts["neuron_steps"]:
        rows["neuron-steps per second"] = f"{facts['neuron_steps_per_second']:.3g}"
    rows["seconds"] = facts["seconds"]
    title = f"Frequency response of {facts['neuron']}" + (f", {name}" if name else "")
    print_table(title, rows)
