"""``brfkit report``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.command import OUTPUT, cli_command, option, refuse_given
from brfkit.cli.commands.robustness import NAMES
from brfkit.cli.display import note
from brfkit.cli.options import common, computing, data_dir, limit_threads, print_json, trained_network
from brfkit.cli.progress import progress

SECTIONS = ("run", "curves", "inspect", "robustness", "gradients", "landscape")
PAPER = ("input-noise", "spike-deletion", "synaptic-noise", "bit-precision")


def _sections(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    for name in names:
        if name not in SECTIONS:
            raise click.BadParameter(f"there is no section {name!r}; there are {', '.join(SECTIONS)}")
    if not names:
        raise click.BadParameter(f"name at least one of {', '.join(SECTIONS)}")
    return names


def _page(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.endswith((".html", ".htm")):
        raise click.BadParameter(f"{value!r} must end in .html")
    return value


@cli_command()
@trained_network
@option("--out", type=click.Path(), metavar="FILE", callback=_page, panel=OUTPUT,
        help="The page.  [default: RUN/report.html; for a file NAME-report.html here]")  # fmt: skip
@option("--sections", metavar="A,B,…", callback=_sections, default=",".join(SECTIONS), show_default=True,
        help="What is on the page.")  # fmt: skip
@option("--samples", type=click.IntRange(1), default=512, show_default=True,
        help="Run the first N test samples; gradients take at most 16.")  # fmt: skip
@option("--perturbation", "perturbations", type=click.Choice(NAMES), multiple=True, default=PAPER,
              show_default=True, help="Of the robustness; may be given more than once.")  # fmt: skip
@option("--repeats", type=click.IntRange(1), default=3, show_default=True,
        help="Evaluations per level of a perturbation.")  # fmt: skip
@option("--surface", "surfaces", type=click.Path(exists=True, dir_okay=False), multiple=True,
        help="A surface of brfkit landscape; those in the run folder are found without it.")  # fmt: skip
@option("--force", is_flag=True, panel=OUTPUT, help="Overwrite the page.")
@data_dir
@computing
@common
@click.pass_context
def command(ctx: click.Context, checkpoint: str, as_json: bool, **options: Any) -> None:
    """One HTML page about a trained network.

    Settings and results, learning curves, inspection, robustness, gradient flow, and the error surface where one lies
    in the run folder. The page needs no connection and no script, and names the command that makes each figure. After
    Ctrl-C it holds the sections that were finished.

    \b
    brfkit report runs/ecg
    brfkit report runs/ecg --sections run,curves,inspect --samples 100 --out ecg.html
    brfkit report ecg_brf.pt --dataset ecg --neuron brf --surface surface.h5
    """
    from brfkit.reports.build import report

    if "robustness" not in options["sections"]:
        refuse_given(ctx, ("perturbations", "repeats"), "has no effect without the section robustness")
    if "landscape" not in options["sections"]:
        refuse_given(ctx, ("surfaces",), "has no effect without the section landscape")
    limit_threads(options["threads"])
    options["perturbations"] = tuple(dict.fromkeys(options["perturbations"]))
    made = report(checkpoint, watch=progress, **options)
    for name, reason in made.skipped.items():
        note(f"{name} is not in the report: {reason}")
    if as_json:
        print_json(made.to_dict())
    else:
        _report(made)


def _report(made: Any) -> None:
    from brfkit.cli.options import print_table, print_written

    rows = {**made.headline, "sections": ", ".join(made.sections), "figures": len(made.figures)}
    print_table(f"Report of {made.checkpoint}", {**rows, "size (KiB)": made.size // 1024, "seconds": made.seconds})
    print_written([made.out])
