"""TensorBoard's event files of a run."""

from __future__ import annotations

import logging
from pathlib import Path

from brfkit.runs.metrics import Row

log = logging.getLogger(__name__)


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
