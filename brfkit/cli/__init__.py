"""The command line. Commands are imported when they are asked for, so that ``brfkit --help`` is quick."""

from __future__ import annotations

import importlib
import io
import sys
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
    "evaluate": "Accuracy, loss and spikes of a trained network on the test set.",
    "landscape": "The error surface around a trained network.",
    "robustness": "Accuracy of a trained network that is disturbed more and more.",
    "gradients": "How gradient magnitude travels back through time.",
    "compare": "Learning curves and a table of several runs.",
    "inspect": "What is inside a trained network.",
    "report": "One HTML page about a trained network.",
    "data": "List, download, check and show the data sets.",
    "doctor": "What works here: backends, drivers, versions, threads, folders.",
    "bench": "Time the backends on this machine against a plain PyTorch loop.",
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
    arguments = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Greek letters on a terminal that has none
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Exit code of a command: 0 done, 2 wrong usage, 1 anything else, 130 interrupted."""
    try:
        result = cli.main(args=arguments, prog_name="brfkit", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone
        return 1
    except Exception as error:
        if "--debug" in arguments:
            raise
        text = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        if isinstance(error, BrfkitError):
            text = str(error)
        elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("brfkit"):
            text = f"this needs the package {error.name}, which is not installed; pip install {error.name}"
        click.echo(f"Error: {visible(' '.join(text.split()))}", err=True)
        return 1
