"""The files of a run folder: configuration, checkpoints, weights of every epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.checkpoints.lstm import load_lstm, save_lstm
from brfkit.checkpoints.native import Checkpoint, load_checkpoint, save_checkpoint
from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_write
from brfkit.runs.config import Config, is_lstm
from brfkit.runs.config_files import read_config_file
from brfkit.runs.provenance import RUN

CONFIG, METRICS, BEST, LAST, CURVE, RESULT = (
    "config.json", "metrics.csv", "best.npz", "last.npz", "learning_curve.png", "result.json",
)  # fmt: skip
WEIGHTS = "weights"


@dataclass(frozen=True)
class Stored:
    """What a checkpoint holds beside the description of the network."""

    weights: dict[str, NDArray]
    meta: dict[str, Any]
    extra: dict[str, NDArray]


class RunFolder:
    """A folder of one run."""

    def __init__(self, path: str | Path, config: Config) -> None:
        self.path, self.config = Path(path), config

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def present(self) -> list[str]:
        """The files of a run that are there."""
        names = (CONFIG, METRICS, BEST, LAST, RESULT)
        return [name for name in names if (self.path / name).exists()]

    def holds_this_run(self) -> bool:
        """Whether the configuration in the folder is this one (keys that it does not name have their defaults)."""
        file = self.path / CONFIG
        return file.exists() and Config.from_dict(read_config_file(file)) == self.config

    def prepare(self, resume: bool, force: bool) -> None:
        """Make the folder and write the configuration, unless a run goes on in it.

        Raises:
            BrfkitError: another run is there, or the folder cannot be used.
        """
        present = self.present()
        if present and resume:
            if not self.holds_this_run():
                raise BrfkitError(
                    f"{self.path} holds a run with other settings; resume it with those, or use another folder"
                )
            return
        if present and not force:
            raise BrfkitError(
                f"{self.path} holds a run already; use --resume to go on, --force to overwrite, or another folder"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in (*present, *([RUN] if (self.path / RUN).exists() else [])):
                (self.path / name).unlink()
            for pattern in ("events.out.tfevents.*", f"{WEIGHTS}/epoch-*.npz"):
                for old in self.path.glob(pattern):
                    old.unlink()
        except OSError as error:
            raise BrfkitError(f"{self.path} cannot be used as a run folder: {error.strerror}") from None
        with atomic_write(self.path / CONFIG, "w", force=True) as stream:
            stream.write(json.dumps(self.config.to_dict(), indent=1) + "\n")

    def load(self, name: str) -> Stored:
        if is_lstm(self.config):
            return Stored(*load_lstm(self.path / name))
        checkpoint = load_checkpoint(self.path / name)
        return Stored(checkpoint.weights, checkpoint.meta, checkpoint.extra)

    def save(self, name: str, network: Any, stored: Stored) -> None:
        if is_lstm(self.config):
            save_lstm(self.path / name, network, stored.weights, stored.meta, stored.extra)
        else:
            save_checkpoint(self.path / name, Checkpoint(network, stored.weights, stored.meta, stored.extra))

    def keep_weights(self, epoch: int, weights: dict[str, NDArray]) -> None:
        """Write the weights of an epoch, one array each under its name, to ``weights/epoch-NNNN.npz``."""
        folder = self.path / WEIGHTS
        folder.mkdir(exist_ok=True)
        with atomic_write(folder / f"epoch-{epoch:04d}.npz", "wb", force=True) as stream:
            np.savez(stream, **weights)  # type: ignore[arg-type]
