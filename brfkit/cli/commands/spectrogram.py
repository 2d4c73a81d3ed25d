"""``brfkit spectrogram``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import PICTURES, finite, suffix
from brfkit.cli.options import common, computing, print_json, print_table, style


@click.command()
@click.argument("file", type=click.Path())
@click.option("--neuron", default="brf", show_default=True, help="Model with ω and b': brf, rf or bhrf.")
@click.option("--resonators", type=click.IntRange(2), default=128, show_default=True, help="Neurons in the bank.")
@click.option("--lowest", type=click.FloatRange(0, min_open=True), callback=finite,
              help="Lowest frequency, Hz.  [default: what the signal's length allows]")  # fmt: skip
@click.option("--highest", type=click.FloatRange(0, min_open=True), callback=finite,
              help="Highest frequency, Hz.  [default: a fifth of the sampling rate]")  # fmt: skip
@click.option("--scale", type=click.Choice(["log", "linear"]), default="log", show_default=True,
              help="Spacing of the frequencies.")  # fmt: skip
@click.option("--b-offset", type=float, callback=finite,
              help="Damping offset b', 1/s; the -3 dB band is b'/π Hz wide.  [default: bands overlap]")  # fmt: skip
@click.option("--rate", type=click.FloatRange(0, min_open=True), callback=finite,
              help="Samples per second of a .csv or .npy file.  [default: 100 per unit time]")  # fmt: skip
@click.option("--channel", type=click.IntRange(0), help="Of several, from 0.  [default: the mean of all]")
@click.option("--downsample", type=click.IntRange(1), default=1, show_default=True,
              help="Take every N-th sample, after a low pass.")  # fmt: skip
@click.option("--hop", type=click.FloatRange(0, min_open=True), callback=finite,
              help="Length of a frame in seconds.  [default: 600 frames]")  # fmt: skip
@click.option("--spikes", is_flag=True, help="Count spikes too, in a pass loud enough to make the neurons spike.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float64", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False), callback=suffix((".npz",)), help="All numbers: .npz.")
@click.option("--plot", type=click.Path(dir_okay=False), callback=suffix(PICTURES),
              help="Draw them: .png, .svg or .pdf.")  # fmt: skip
@style()
@click.option("--force", is_flag=True, help="Overwrite --out and --plot.")
@computing
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
    from brfkit.io.atomic import atomic_path, atomic_write, check_writable

    files = [options[name] for name in ("out", "plot") if options[name]]
    for one in files:
        check_writable(one, options["force"])
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
