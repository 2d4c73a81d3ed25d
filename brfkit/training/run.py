"""A training run in a folder: configuration, metrics, checkpoints; can be killed at any moment and resumed."""

from __future__ import annotations

import gc
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from brfkit.backends.base import Backend
from brfkit.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from brfkit.data import Dataset
from brfkit.errors import BrfkitError
from brfkit.files import atomic_path, atomic_write
from brfkit.memory import peak_bytes
from brfkit.training.config import Config
from brfkit.training.datasets import load_dataset
from brfkit.training.history import TEST, Row, best_epoch, write_metrics
from brfkit.training.loop import DivergedError, Trainer, one_torch_thread

log = logging.getLogger(__name__)

CONFIG, METRICS, BEST, LAST, CURVE, RESULT = (
    "config.json", "metrics.csv", "best.npz", "last.npz", "learning_curve.png", "result.json",
)  # fmt: skip


class Observer(Protocol):
    """Is told how a run goes on."""

    def started(self, trainer: Trainer, epoch: int, epochs: int) -> None: ...
    def step(self, done: int, total: int) -> None: ...
    def epoch(self, rows: list[Row], best: int) -> None: ...


class Silent:
    """An observer that says nothing."""

    def started(self, trainer: Trainer, epoch: int, epochs: int) -> None:
        pass

    def step(self, done: int, total: int) -> None:
        pass

    def epoch(self, rows: list[Row], best: int) -> None:
        pass


@dataclass(frozen=True)
class Result:
    """What a run came to; test figures are those of the model with the lowest validation loss."""

    run_dir: str
    dataset: str
    neuron: str
    parameters: int
    epochs: int
    best_epoch: int
    test_accuracy: float
    test_loss: float
    spikes_per_sample: float
    seconds: float
    backend: str
    peak_memory_mib: float
    diverged: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def train(
    config: Config,
    run_dir: str | Path,
    backend: Backend,
    *,
    data_dir: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    observer: Observer | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Train a network as configured and keep everything in a run folder.

    After every epoch the folder holds the best and the last checkpoint and the metrics so far, each written whole.

    Args:
        config: settings.
        run_dir: folder, made if missing.
        backend: who computes.
        data_dir: folder of the data sets.
        resume: go on where the folder's last checkpoint ends; the result equals that of an undisturbed run.
        force: overwrite a run that is there.
        observer: is told about progress.
        stop: asked after every epoch; True ends the run early as if its epochs were over.

    Raises:
        BrfkitError: bad data or settings, a folder that holds a run already, or files that cannot be written.
    """
    started = time.perf_counter()
    folder = Path(run_dir)
    dataset = load_dataset(config.data, seed=config.training.seed, data_dir=data_dir)
    trainer = _make_trainer(config, dataset, backend)
    stored = _prepare_folder(folder, config, resume, force)  # not before the data are there
    run = _Run(folder, config, dataset, trainer, observer or Silent())
    if stored is not None:
        run.restore(stored)
    with _quiet_collector(), one_torch_thread() if backend.name == "numba" else nullcontext():
        diverged = run.go(stop or (lambda: False))
    result = run.result(backend.name, time.perf_counter() - started, diverged)
    with atomic_write(folder / RESULT, "w", force=True) as stream:
        stream.write(json.dumps(result.to_dict(), indent=1) + "\n")
    return result


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """Leave what torch has made so far out of Python's garbage collections, which would go through all of it."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _make_trainer(config: Config, dataset: Dataset, backend: Backend) -> Trainer:
    network = config.network.build(dataset.channels, dataset.classes)
    training = config.training
    init = config.network.initial_distributions()
    weights = network.initialise(training.seed, np.dtype(training.dtype), init)
    return Trainer(config, dataset, network, weights, backend)


def _prepare_folder(folder: Path, config: Config, resume: bool, force: bool) -> Checkpoint | None:
    """Make the folder and write the configuration; return the checkpoint to go on from, if any."""
    text = json.dumps(config.to_dict(), indent=1) + "\n"
    present = [name for name in (CONFIG, METRICS, BEST, LAST, RESULT) if (folder / name).exists()]
    if present and resume:
        found = (folder / CONFIG).read_text(encoding="utf-8") if CONFIG in present else ""
        if found != text:
            raise BrfkitError(f"{folder} holds a run with other settings; resume it with those, or use another folder")
        return load_checkpoint(folder / LAST) if LAST in present else None
    if present and not force:
        raise BrfkitError(
            f"{folder} holds a run already; use --resume to go on, --force to overwrite, or another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in present:
            (folder / name).unlink()
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
    except OSError as error:
        raise BrfkitError(f"{folder} cannot be used as a run folder: {error.strerror}") from None
    with atomic_write(folder / CONFIG, "w", force=True) as stream:
        stream.write(text)
    return None


class _Run:
    """The epochs of one run and what is written after each."""

    def __init__(self, folder: Path, config: Config, dataset: Dataset, trainer: Trainer, observer: Observer) -> None:
        self.folder, self.config, self.dataset = folder, config, dataset
        self.trainer, self.observer = trainer, observer
        self.rows: list[Row] = []

    def restore(self, checkpoint: Checkpoint) -> None:
        try:
            self.rows = [Row.from_values(values) for values in checkpoint.meta["rows"]]
            self.trainer.restore(checkpoint.weights, checkpoint.extra, checkpoint.meta["trainer"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BrfkitError(
                f"{self.folder / LAST} cannot be resumed from ({error!r}); use --force to start anew"
            ) from None

    def go(self, stop: Callable[[], bool]) -> str | None:
        """All epochs that are left; returns what diverged, if anything."""
        trainer, epochs = self.trainer, self.config.training.epochs
        board = _Board(self.folder, trainer.epoch)
        self.observer.started(trainer, trainer.epoch, epochs)
        try:
            if not self.rows:
                self._finish_epoch(trainer.measure(), board)
            while trainer.epoch < epochs and not self._out_of_patience() and not stop():
                row = trainer.train_epoch(self.observer.step)
                self._finish_epoch([row, *trainer.measure()], board)
        except DivergedError as error:
            log.warning("%s; the last good checkpoint is %s", error, self.folder / LAST)
            return str(error)
        finally:
            board.close()
            if self.rows:
                write_metrics(self.folder / METRICS, self.rows)
                self._picture()
        return None

    def _out_of_patience(self) -> bool:
        patience = self.config.training.patience
        return patience is not None and self.trainer.epoch - best_epoch(self.rows) >= patience

    def _finish_epoch(self, rows: list[Row], board: _Board) -> None:
        self.rows += rows
        best = best_epoch(self.rows)
        # The best one first: when the last one is there, everything that it tells of is there too.
        if best == self.trainer.epoch:
            self._save(BEST, {}, {})
        arrays, plain = self.trainer.state_arrays()
        self._save(LAST, arrays, {"trainer": plain, "rows": [row.to_values() for row in self.rows]})
        write_metrics(self.folder / METRICS, self.rows)
        board.add(rows)
        self.observer.epoch(rows, best)

    def _save(self, name: str, arrays: dict[str, Any], meta: dict[str, Any]) -> None:
        order = self.dataset.permutation
        if order is not None:
            arrays = {**arrays, "permutation": order}
        meta = {"epoch": self.trainer.epoch, "config": self.config.to_dict(), **meta}
        save_checkpoint(
            self.folder / name, Checkpoint(self.trainer.network, self.trainer.module.weights(), meta, arrays)
        )

    def _picture(self) -> None:
        from brfkit.plotting.curves import learning_curve

        title = f"{self.config.data.dataset}, {self.config.network.neuron}, seed {self.config.training.seed}"
        with atomic_path(self.folder / CURVE, force=True) as path:
            learning_curve(self.rows, title).savefig(path)

    def result(self, backend: str, seconds: float, diverged: str | None) -> Result:
        best = best_epoch(self.rows)
        at_best = {row.split: row for row in self.rows if row.epoch == best}
        chosen = at_best.get(TEST) or next(iter(at_best.values()))
        peak = peak_bytes()
        return Result(
            run_dir=str(self.folder),
            dataset=self.config.data.dataset,
            neuron=self.config.network.neuron,
            parameters=self.trainer.network.parameter_count(),
            epochs=self.trainer.epoch,
            best_epoch=best,
            test_accuracy=chosen.accuracy,
            test_loss=chosen.loss,
            spikes_per_sample=chosen.spikes_per_sample,
            seconds=seconds,
            backend=backend,
            peak_memory_mib=math.nan if peak is None else peak / 2**20,
            diverged=diverged,
        )


class _Board:
    """TensorBoard's event files; steps that a resumed run repeats replace the old ones."""

    def __init__(self, folder: Path, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=epoch + 1 if epoch else None)

    def add(self, rows: list[Row]) -> None:
        for row in rows:
            for key in ("loss", "accuracy", "spikes_per_sample"):
                self._writer.add_scalar(f"{key}/{row.split}", getattr(row, key), row.epoch)

    def close(self) -> None:
        self._writer.close()
