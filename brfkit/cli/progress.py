"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from brfkit.cli.display import say
from brfkit.io.text import visible

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yields ``advance(done, total)``."""
    label = visible(label)
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(label, total=None, unit=unit, note="")
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        if done < total and time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(f"{label}: {done} of {total} {unit}", err=True)

    yield advance


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.3g} {task.fields['unit']}/s" if speed else "")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
    )


class TrainingProgress:
    """Observer of a training run."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._last = time.monotonic()
        self._epoch = self._epochs = self._steps = 0
        self._spiking = self._silent = False

    def started(self, trainer: Any, epoch: int, epochs: int) -> None:
        self._epoch, self._epochs, self._steps = epoch, epochs, trainer.steps_per_epoch
        from brfkit.runs.config import LSTM

        self._spiking = trainer.config.network.neuron != LSTM
        if epoch:
            say(f"resumed after epoch {epoch}", err=True)
        if self._terminal:
            self._bar = _bar()
            self._task = self._bar.add_task("training", total=epochs * self._steps, unit="steps", note="")
            self._bar.update(self._task, completed=epoch * self._steps)
            self._bar.start()

    def step(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._epoch * self._steps + done)

    def epoch(self, rows: list[Any], best: int) -> None:
        self._epoch = rows[-1].epoch
        by_split = {row.split: row for row in rows}
        parts = [f"{s} loss {r.loss:.4f} acc {r.accuracy:.2f}%" for s, r in by_split.items()]
        if self._bar is not None:
            row = rows[-1]
            self._bar.update(self._task, note=f"epoch {row.epoch}  {parts[-1]}  best {best}")
        elif time.monotonic() - self._last >= SECONDS_BETWEEN_LINES or self._epoch in (0, self._epochs):
            self._last = time.monotonic()
            say(f"epoch {self._epoch}/{self._epochs}: {'; '.join(parts)}; best epoch {best}", err=True)
        self._tell_of_silence(by_split.get("train"))

    def _tell_of_silence(self, row: Any) -> None:
        """Say once, after an epoch of training, that no neuron spiked in it."""
        if row is None or self._silent or not self._spiking or row.spikes_per_sample > 0:
            return
        self._silent = True
        text = (
            f"note: no neuron spiked in epoch {row.epoch}; they learn by the surrogate gradient alone until they do. "
            "Larger initial weights (network.init.w_in) wake them sooner"
        )
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            say(text, err=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
