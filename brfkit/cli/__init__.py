"""The command line. Commands are imported when they are asked for, so that ``brfkit --help`` is quick."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from brfkit import __version__
from brfkit.errors import BrfkitError
from brfkit.io.text import visible

# One line each, so that the list of commands needs no import of them.
COMMANDS = {
    "neurons": "List the neuron models, or show one of them.",
    "simulate": "Drive neurons and record every state.",
    "frequency": "Frequency response of a neuron: gain, phase, resonance, spikes.",
    "spectrogram": "A signal through a bank of resonators, beside its Fourier transform.",
    "stability": "The ω–b plane: where a resonator diverges, in theory and simulated.",
    "train": "Train a recurrent spiking network by BPTT.",
    "sweep": "Hyper-parameter studies on Optuna.",
    "presets": "List the presets of training settings, or show one of them.",
    "evaluate": "Accuracy, loss and spikes of a trained network on the test set.",
    "landscape": "The error surface around a trained network.",
    "robustness": "Accuracy of trained networks under increasing perturbations.",
    "gradients": "Gradient norm at every time step of the backward pass.",
    "compare": "Learning curves and a table of several runs.",
    "inspect": "Parameters, weights, activity and errors of a trained network.",
    "report": "One HTML page about a trained network.",
    "data": "List, download, check and show the data sets.",
    "doctor": "Diagnosis of the installation: backends, drivers, versions, threads, folders.",
    "bench": "Time the backends on this machine against a plain PyTorch loop, or against JAX.",
}


class LazyGroup(click.Group):
    """Imports ``brfkit.cli.commands.<command>`` on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"brfkit.cli.commands.{name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"No such command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="brfkit")
def cli() -> None:
    """Balanced resonate-and-fire spiking neurons: simulate, train, evaluate, look inside.

    \b
    brfkit neurons brf
    brfkit simulate --neuron brf --omega 10 --plot trace.png
    brfkit train --dataset tones
    """


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``brfkit``: runs a command and turns what goes wrong into one line and an exit code."""
    from brfkit.cli.streams import prepare_streams

    prepare_streams()
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(arguments: list[str]) -> int:
    """Exit code of a command: 0 done, 2 wrong usage, 1 anything else, 130 interrupted, 143 terminated."""
    from brfkit.cli.signals import signals_received

    with signals_received() as received:
        try:
            _check_folder()
            result = cli.main(args=arguments, prog_name="brfkit", standalone_mode=False)
            return result if isinstance(result, int) else 0
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except (click.Abort, KeyboardInterrupt) as stop:
            if isinstance(stop.__context__, EOFError):  # click takes the end of any file for the user's wish to stop
                return _failed(stop.__context__, arguments)
            click.echo(received.text, err=True)
            return received.exit_code
        except click.ClickException as error:
            error.message = visible(error.message, keep="\n")  # type: ignore[misc]
            error.show()
            return error.exit_code
        except Exception as error:
            return _failed(error, arguments)


def _check_folder() -> None:
    try:
        Path.cwd()
    except OSError:
        raise BrfkitError("the current folder does not exist any more; change to another one") from None


def _failed(error: BaseException, arguments: list[str]) -> int:
    """Say in one line what went wrong; the exit code."""
    if "--debug" in arguments:
        raise error
    text = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
    if isinstance(error, BrfkitError):
        text = str(error)
    elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("brfkit"):
        text = f"this needs the package {error.name}, which is not installed; pip install {error.name}"
    elif isinstance(error, MemoryError):
        text = "there is not enough memory for this"
    click.echo(f"Error: {visible(' '.join(text.split()))}", err=True)
    return 1
