"""A run folder. Everything that reads or writes a file of a run does so through :class:`RunFolder`. Needs no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brfkit.checkpoints.locate import KEPT, KEPT_NAME, RUN_FILES, checkpoint_in, kept_epoch, read_kept
from brfkit.checkpoints.lstm import load_lstm, save_lstm
from brfkit.checkpoints.native import Checkpoint, load_checkpoint, save_checkpoint
from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_path, atomic_write
from brfkit.io.documents import read_json
from brfkit.io.locks import exclusive
from brfkit.io.schema import check_values
from brfkit.network import Network, Weights
from brfkit.runs.config import Config, is_lstm
from brfkit.runs.config_files import read_config_file
from brfkit.runs.metrics import Row, read_metrics, write_metrics
from brfkit.runs.schema import SCHEMAS
from brfkit.runs.settings import differences, short

CONFIG, METRICS, RESULT, PROVENANCE = "config.json", "metrics.csv", "result.json", "run.json"
BEST, LAST = RUN_FILES
PREVIOUS = "previous.npz"  # the last checkpoint but one, in case the last is damaged
CURVE, REPORT, LOCK = "learning_curve.png", "report.html", "run.lock"
EXTENDABLE = ("training.epochs", "training.patience")  # what may change where a run is resumed
LOGS = "events.out.tfevents.*"


@dataclass(frozen=True)
class Stored:
    """What a checkpoint holds beside the description of the network."""

    weights: dict[str, NDArray]
    meta: dict[str, Any]
    extra: dict[str, NDArray]


class Drawable(Protocol):
    """A picture that can be written; matplotlib's figures are such."""

    def savefig(self, fname: Path) -> None: ...


class RunFolder:
    """The files of one run.

    Args:
        path: folder; it need not exist.
        config: settings of the run; None reads them from the folder when they are asked for.
    """

    def __init__(self, path: str | os.PathLike[str], config: Config | None = None) -> None:
        self.path = Path(path)
        if config is not None:
            self.config = config

    @staticmethod
    def around(path: str | os.PathLike[str]) -> RunFolder:
        """The folder itself, or the one of the run that a file belongs to."""
        place, kept = Path(path), kept_epoch(path)
        if kept is not None:
            return RunFolder(kept[0])
        return RunFolder(place if place.is_dir() else place.parent)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def has(self, name: str) -> bool:
        """Whether a file of that name is there."""
        return (self.path / name).is_file()

    def present(self) -> list[str]:
        """The files of a run that are there."""
        names = (CONFIG, METRICS, BEST, LAST, PREVIOUS, RESULT)
        return [name for name in names if (self.path / name).exists()]

    # Settings and provenance

    @cached_property
    def config(self) -> Config:
        """Settings of the run; a folder without or with damaged ones is a :class:`BrfkitError`."""
        return Config.from_dict(read_config_file(self.path / CONFIG))

    def holds_this_run(self) -> bool:
        """Whether the configuration in the folder is this one (keys that it does not name have their defaults)."""
        return self.has(CONFIG) and not differences(RunFolder(self.path).config, self.config)

    def extension(self) -> list[tuple[str, Any, Any]]:
        """What this configuration changes of the run in the folder where that only extends it: epochs and patience.

        Raises:
            BrfkitError: it changes more, which is named.
        """
        changed = differences(RunFolder(self.path).config, self.config)
        if any(key not in EXTENDABLE for key, _, _ in changed):
            shown = [f"{key} is {short(old)} there and {short(new)} here" for key, old, new in changed]
            more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
            raise BrfkitError(
                f"{self.path} holds a run with other settings: {', '.join(shown[:3])}{more}; "
                "resume it without them, or use another folder"
            )
        return changed

    def provenance(self) -> dict[str, Any]:
        """What :func:`brfkit.runs.provenance.collect` found when the run began; empty where the folder has none."""
        return read_object(self.path / PROVENANCE)

    def write_provenance(self, values: Mapping[str, Any]) -> None:
        self._write_json(PROVENANCE, values)

    def result(self) -> dict[str, Any]:
        """What ``brfkit train`` reported at the end; empty for a run that has not come to it."""
        return read_object(self.path / RESULT)

    def write_result(self, values: Mapping[str, Any]) -> None:
        self._write_json(RESULT, values)

    def finished_result(self) -> dict[str, Any]:
        """The result of a run with this configuration that is over, by its epochs or its own rules; else empty."""
        found = self.result()
        if not found or found.get("diverged") or not self.holds_this_run():
            return {}
        return found if found.get("stopped") or found.get("epochs", 0) >= self.config.training.epochs else {}

    def writable(self) -> bool:
        """Whether files can be written into the folder, or it does not exist yet."""
        return not self.path.exists() or os.access(self.path, os.W_OK)

    def metrics(self) -> list[Row]:
        """The rows of ``metrics.csv``; none where there is no such file."""
        return read_metrics(self.path / METRICS) if self.has(METRICS) else []

    def write_metrics(self, rows: Iterable[Row]) -> None:
        write_metrics(self.path / METRICS, rows)

    def write_curve(self, figure: Drawable) -> None:
        """Write ``learning_curve.png``."""
        with atomic_path(self.path / CURVE, force=True) as path:
            figure.savefig(path)

    def surfaces(self) -> list[Path]:
        """HDF5 files in the folder, in the order of their names; error surfaces are among them."""
        return sorted(self.path.glob("*.h5"))

    # Beginning, going on, one process at a time

    def prepare(self, resume: bool, force: bool) -> None:
        """Make the folder and write the configuration, unless a run goes on in it.

        Raises:
            BrfkitError: another run is there, or the folder cannot be used.
        """
        present = self.present()
        if present and resume:
            self._extend()
            return
        if present and not force:
            raise BrfkitError(
                f"{self.path} holds a run already; use --resume to go on, --force to overwrite, or another folder"
            )
        self._make()
        try:
            for name in (*present, PROVENANCE):
                (self.path / name).unlink(missing_ok=True)
            for pattern in (LOGS, f"{KEPT}/epoch-*.npz"):
                for old in self.path.glob(pattern):
                    old.unlink()
        except OSError as error:
            raise self._unusable(error) from None
        self._write_json(CONFIG, self.config.to_dict())

    def _extend(self) -> None:
        changed = self.extension()
        if not changed:
            return
        rows = self.metrics()
        done = rows[-1].epoch if rows else 0
        if self.config.training.epochs < done:
            raise BrfkitError(
                f"{self.path} has trained {done} epochs; training.epochs cannot be {self.config.training.epochs}"
            )
        extended = self.provenance().get("extended", [])
        step = {"after_epoch": done, **{key: [old, new] for key, old, new in changed}}
        self.write_provenance({**self.provenance(), "extended": [*extended, step]})
        (self.path / RESULT).unlink(missing_ok=True)
        self._write_json(CONFIG, self.config.to_dict())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other trainings out of the folder.

        Raises:
            BrfkitError: one is going on in it.
        """
        made = not self.path.exists()
        self._make()
        try:
            with exclusive(self.path / LOCK, f"{self.path} is in use by a training that is going on; wait for its end, "
                                             "or use another folder"):  # fmt: skip
                yield
        finally:
            if made:
                with suppress(OSError):
                    self.path.rmdir()  # where nothing has been written into it

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> BrfkitError:
        return BrfkitError(f"{self.path} cannot be used as a run folder: {error.strerror}")

    # Checkpoints

    def checkpoint_file(self) -> Path:
        """The best checkpoint, or where there is none the last.

        Raises:
            BrfkitError: there is neither.
        """
        return checkpoint_in(self.path)

    def load(self, name: str) -> Stored:
        if is_lstm(self.config):
            return Stored(*load_lstm(self.path / name))
        checkpoint = load_checkpoint(self.path / name)
        return Stored(checkpoint.weights, checkpoint.meta, checkpoint.extra)

    def save(self, name: str, network: Any, stored: Stored) -> None:
        if name == LAST and self.has(LAST):
            self._link(LAST, PREVIOUS)
        if is_lstm(self.config):
            save_lstm(self.path / name, network, stored.weights, stored.meta, stored.extra)
        else:
            save_checkpoint(self.path / name, Checkpoint(network, stored.weights, stored.meta, stored.extra))

    def resumable(self) -> list[str]:
        """The checkpoints that training can go on from, the newest first."""
        return [name for name in (LAST, PREVIOUS) if self.has(name)]

    def replace_last(self) -> None:
        """Put the last checkpoint but one in the place of the last, which is damaged."""
        self._link(PREVIOUS, LAST)

    def _link(self, source: str, target: str) -> None:
        """One file under two names. Without hard links on the file system there is no second name."""
        temporary = self.path / f".{target}.link"
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
            os.link(self.path / source, temporary)
            temporary.replace(self.path / target)

    # Weights of every epoch

    def keep_weights(self, epoch: int, weights: Mapping[str, NDArray]) -> None:
        """Write the weights of an epoch, one array each under its name, to ``weights/epoch-NNNN.npz``."""
        folder = self.path / KEPT
        folder.mkdir(exist_ok=True)
        with atomic_write(folder / f"epoch-{epoch:04d}.npz", "wb", force=True) as stream:
            np.savez(stream, **weights)  # type: ignore[arg-type]

    def kept_files(self) -> dict[int, Path]:
        """The files of ``--keep-weights`` by epoch, ascending."""
        files = sorted((self.path / KEPT).glob("epoch-*.npz"))
        return dict(sorted((int(m[1]), file) for file in files if (m := KEPT_NAME.fullmatch(file.name))))

    def kept_weights(self, epoch: int, network: Network) -> Weights:
        """The weights kept after an epoch.

        Raises:
            BrfkitError: that epoch was not kept, or its file cannot be read or does not fit the network.
        """
        files = self.kept_files()
        if epoch not in files:
            there = f"{min(files)} to {max(files)}" if len(files) > 1 else ", ".join(map(str, files))
            raise BrfkitError(f"{self.path} has not kept epoch {epoch}; it has {len(files)} epochs, {there}")
        return read_kept(files[epoch], network)

    def _write_json(self, name: str, values: Mapping[str, Any]) -> None:
        with atomic_write(self.path / name, "w", force=True) as stream:
            stream.write(json.dumps(values, indent=1) + "\n")


def new_folder(config: Config) -> Path:
    """A folder under ``runs`` that does not exist yet, named after data set, neuron and seed."""
    stem = f"{Path(config.data.dataset).stem}-{config.network.title}-seed{config.training.seed}"
    folder, number = Path("runs") / stem, 2
    while folder.exists():
        folder, number = Path("runs") / f"{stem}-{number}", number + 1
    return folder


def read_object(path: Path) -> dict[str, Any]:
    """A file with one JSON object; an empty one where there is no file.

    What brfkit itself writes into ``run.json`` and ``result.json`` is checked (:mod:`brfkit.runs.schema`).

    Raises:
        BrfkitError: the file is damaged.
    """
    if not path.exists():
        return {}
    values = read_json(path)
    check_values(values, SCHEMAS.get(path.name, {}), str(path), required=())
    return values
