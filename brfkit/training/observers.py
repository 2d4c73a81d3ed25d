"""What follows a run: observers of its progress, pictures of its metrics, TensorBoard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from brfkit.runs.metrics import Row

if TYPE_CHECKING:
    from brfkit.training.trainer import Trainer

log = logging.getLogger(__name__)

Picture = Callable[[Sequence[Row], str, float | None], Any]
"""Draws learning curves from metrics, a title and the accuracy at which the run stops; returns a figure."""


class Observer(Protocol):
    """Receives the progress of a run."""

    def started(self, trainer: Trainer, epoch: int, epochs: int) -> None: ...
    def step(self, done: int, total: int) -> None: ...
    def epoch(self, rows: list[Row], best: int) -> None: ...


class Silent:
    """An observer that ignores what it receives."""

    def started(self, trainer: Trainer, epoch: int, epochs: int) -> None:
        pass

    def step(self, done: int, total: int) -> None:
        pass

    def epoch(self, rows: list[Row], best: int) -> None:
        pass


class TensorBoardLogger:
    """Writes event files; steps that a resumed run repeats replace the old ones."""

    def __init__(self, folder: Path, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: SummaryWriter | None = None
        try:
            self._writer = SummaryWriter(str(folder), purge_step=epoch + 1 if epoch else None)
        except UnicodeError:
            log.warning("no TensorBoard files are written: TensorBoard takes only folders whose names are UTF-8")

    def add(self, rows: list[Row]) -> None:
        if self._writer is None:
            return
        for row in rows:
            for key in ("loss", "accuracy", "spikes_per_sample"):
                self._writer.add_scalar(f"{key}/{row.split}", getattr(row, key), row.epoch)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
