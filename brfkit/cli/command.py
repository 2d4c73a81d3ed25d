"""Commands and options of ``brfkit``: help grouped by topic, and notes on options without effect.

Command modules use :func:`cli_command`, :func:`cli_group` and :func:`option` in place of click's decorators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import rich_click
from rich_click import RichHelpConfiguration, RichOptionPanel

from brfkit.cli.display import note

# Headings of the options that several commands share.
DATA, COMPUTING, OUTPUT, GENERAL = "Data", "Computing", "Output", "General"
_OWN = "Settings"

_STYLE = RichHelpConfiguration(
    style_options_panel_box=None,
    style_commands_panel_box=None,
    style_options_panel_title_style="bold",
    style_commands_panel_title_style="bold",
    text_paragraph_linebreaks="\n\n",
    max_width=100,
)


_METAVARS: dict[type, str] = {
    click.IntRange: "N", type(click.INT): "N", click.FloatRange: "X", type(click.FLOAT): "X",
    type(click.STRING): "TEXT",
}  # fmt: skip


class Option(rich_click.RichOption):
    """An option that knows when it has no effect.

    Attributes:
        needs: parameters of which at least one must be set for it to have an effect.
        excludes: parameters that contradict it.
        idle: why it never has an effect in this command; empty where it may have one.
    """

    def __init__(
        self, *names: Any, needs: Sequence[str] = (), excludes: Sequence[str] = (), idle: str = "", **settings: Any
    ) -> None:
        super().__init__(*names, **settings)
        if self.metavar is None:
            self.metavar = _METAVARS.get(type(self.type))
        self.needs, self.excludes, self.idle = tuple(needs), tuple(excludes), idle

    @property
    def flag(self) -> str:
        """How the option is written."""
        return max(self.opts, key=len)


def given(ctx: click.Context, name: str) -> bool:
    """Whether a parameter was set on the command line."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def refuse_given(ctx: click.Context, names: Iterable[str], why: str) -> None:
    """Refuse the first of the parameters that was set on the command line: "--NAME `why`"."""
    for one in ctx.command.params:
        if isinstance(one, Option) and one.name in names and given(ctx, one.name):
            raise click.UsageError(f"{one.flag} {why}.", ctx)


def check_effects(ctx: click.Context) -> None:
    """Refuse options that contradict each other or need another one; tell of those that never have an effect here."""
    flags = {p.name: p.flag for p in ctx.command.params if isinstance(p, Option)}

    def shown(names: Sequence[str]) -> str:
        return " or ".join(flags.get(name, name.upper()) for name in names)

    options = [one for one in ctx.command.params if isinstance(one, Option) and one.name and given(ctx, one.name)]
    for one in options:
        against = [name for name in one.excludes if given(ctx, name)]
        if against:
            raise click.UsageError(f"{one.flag} and {shown(against[:1])} do not go together.", ctx)
    for one in options:
        if one.needs and not any(ctx.params.get(name) for name in one.needs):
            raise click.UsageError(f"{one.flag} has no effect without {shown(one.needs)}.", ctx)
        if one.idle:
            note(f"{one.flag} has no effect: {one.idle}")
    note_unused_folder(ctx, ctx.params.get("dataset"))


def note_unused_folder(ctx: click.Context, dataset: str | None) -> None:
    """Tell that ``--data-dir`` has no effect on a data set that does not lie in a folder of it."""
    if dataset is None or not given(ctx, "data_dir"):
        return
    from brfkit.data import dataset_names, dataset_spec

    if dataset not in dataset_names():
        note(f"--data-dir has no effect: {dataset} is a file of its own")
    elif dataset_spec(dataset).folder is None:
        note(f"--data-dir has no effect: {dataset} is generated")


class Command(rich_click.RichCommand):
    """A command whose options stand under headings: its own in their order, then those that many commands share."""

    def __init__(self, name: str | None = None, **settings: Any) -> None:
        context = {"rich_help_config": _STYLE, **(settings.pop("context_settings", None) or {})}
        super().__init__(name, context_settings=context, **settings)
        listed: dict[str, list[str]] = {DATA: []}
        for one in self.params:
            if isinstance(one, Option):
                listed.setdefault(one.panel if isinstance(one.panel, str) else _OWN, []).append(one.flag)
        for last in (COMPUTING, OUTPUT, GENERAL):
            listed[last] = listed.pop(last, [])
        listed[GENERAL].append("--help")
        self.panels = [RichOptionPanel(topic, options=flags) for topic, flags in listed.items() if flags]

    def get_usage(self, ctx: click.Context) -> str:
        """The line of usage, without what rich puts around it in the help."""
        formatter = click.HelpFormatter(max_width=ctx.max_content_width)
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)))
        return formatter.getvalue().rstrip("\n")

    def invoke(self, ctx: click.Context) -> Any:
        check_effects(ctx)
        return super().invoke(ctx)


class Group(rich_click.RichGroup):
    """A command with subcommands, shown like :class:`Command`."""

    command_class = Command

    def __init__(self, name: str | None = None, **settings: Any) -> None:
        context = {"rich_help_config": _STYLE, **(settings.pop("context_settings", None) or {})}
        super().__init__(name=name, context_settings=context, **settings)


def cli_command() -> Callable[[Callable[..., Any]], Command]:
    """Makes a function a command; its docstring is the help."""
    return rich_click.command(cls=Command)


def cli_group() -> Callable[[Callable[..., Any]], Group]:
    """The same with subcommands."""
    return rich_click.group(cls=Group)


def option(*names: str, panel: str | None = None, **settings: Any) -> Callable[[Any], Any]:
    """``click.option`` with a heading (`panel`) and what :class:`Option` knows beside."""
    return rich_click.option(*names, cls=Option, panel=panel, **settings)
