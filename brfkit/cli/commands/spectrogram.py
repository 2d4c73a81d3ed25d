"""``brfkit spectrogram``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import finite
from brfkit.cli.command import cli_command, option
from brfkit.cli.options import check_outputs, common, computing_without_chance, dtype, output, print_json, print_table
from brfkit.cli.parameters import NeuronName


@cli_command()
@click.argument("file", type=click.Path())
@option("--neuron", type=NeuronName(), default="brf", show_default=True, help="Model with ω and b': brf, rf or bhrf.")
@option("--resonators", type=click.IntRange(2), default=128, show_default=True, help="Neurons in the bank.")
@option("--lowest", type=click.FloatRange(0, min_open=True), callback=finite,
        help="Lowest frequency, Hz.  [default: what the signal's length allows]")  # fmt: skip
@option("--highest", type=click.FloatRange(0, min_open=True), callback=finite,
        help="Highest frequency, Hz.  [default: a fifth of the sampling rate]")  # fmt: skip
@option("--scale", type=click.Choice(["log", "linear"]), default="log", show_default=True,
        help="Spacing of the frequencies.")  # fmt: skip
@option("--b-offset", type=float, callback=finite,
        help="Damping offset b', 1/s; the -3 dB band is b'/π Hz wide.  [default: bands overlap]")  # fmt: skip
@option("--rate", type=click.FloatRange(0, min_open=True), callback=finite,
        help="Samples per second of a .csv or .npy file.  [default: 100 per unit time]")  # fmt: skip
@option("--channel", type=click.IntRange(0), help="Of several, from 0.  [default: the mean of all]")
@option("--downsample", type=click.IntRange(1), default=1, show_default=True,
        help="Take every N-th sample, after a low pass.")  # fmt: skip
@option("--hop", type=click.FloatRange(0, min_open=True), callback=finite,
        help="Length of a frame in seconds.  [default: 600 frames]")  # fmt: skip
@option("--spikes", is_flag=True, help="Count spikes too, in a pass loud enough to make the neurons spike.")
@dtype("float64")
@output(out=(".npz",), plot=True)
@computing_without_chance
@common
def command(file: str, as_json: bool, **options: Any) -> None:
    """A signal through a bank of resonators, beside its Fourier transform.

    FILE is .wav, .csv or .npy. Each neuron is tuned so that its discrete oscillation has a frequency of the bank. Every
    frame shows how far the signal has driven it, and next to it the short-time Fourier transform.

    \b
    brfkit spectrogram song.wav --plot song.png
    brfkit spectrogram ecg.csv --rate 250 --lowest 0.5 --highest 40 --plot ecg.png --out ecg.npz
    """
    from brfkit.analysis.neuron.spectrogram.bank import spectrogram
    from brfkit.cli.progress import progress
    from brfkit.io.atomic import atomic_path, atomic_write

    files = check_outputs(options["force"], options["out"], options["plot"])
    with progress("simulating", "neuron-steps") as advance:
        result = spectrogram(
            file,
            options["neuron"],
            log=options["scale"] == "log",
            progress=advance,
            **{
                name: options[name]
                for name in (
                    "resonators", "lowest", "highest", "b_offset", "rate", "channel", "downsample", "hop", "spikes",
                    "dtype", "backend", "threads",
                )
            },
        )  # fmt: skip
    if options["out"]:
        import numpy as np

        with atomic_write(options["out"], "wb", options["force"]) as stream:
            np.savez(stream, **result.arrays())  # type: ignore[arg-type]
    if options["plot"]:
        from brfkit.plotting.spectrogram import spectrogram_figure

        with atomic_path(options["plot"], options["force"]) as path:
            spectrogram_figure(result).savefig(path)
    facts = result.to_dict()
    if as_json:
        print_json(facts)
        return
    facts["neuron_steps_per_second"] = f"{facts['neuron_steps_per_second']:.3g}"
    if facts["spikes"] is None:
        del facts["spikes"]
    facts |= {"written": ", ".join(files)} if files else {}
    print_table(f"Spectrogram of {result.signal.name}", facts)
