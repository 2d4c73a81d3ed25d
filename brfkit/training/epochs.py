"""The epochs of a run: what is written after each, how it goes on after an interruption, and its result."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from brfkit.checkpoints.schema import RESUMED, TRAINER
from brfkit.data import Dataset
from brfkit.errors import BrfkitError
from brfkit.evaluation import batches
from brfkit.io.schema import check_values
from brfkit.memory import peak_bytes
from brfkit.runs.config import Config
from brfkit.runs.folder import BEST, CONFIG, EXTENDABLE, LAST, RunFolder, Stored
from brfkit.runs.metrics import TEST, Row, best_epoch, stop_epoch
from brfkit.runs.settings import differences
from brfkit.trained import TrainedNetwork
from brfkit.training.divergence import DivergedError
from brfkit.training.initial import silence_note
from brfkit.training.observers import Observer, Picture, TensorBoardLogger
from brfkit.training.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a run came to; test figures are those of the best epoch (:func:`brfkit.runs.metrics.best_epoch`).

    ``stopped`` says why it ended before its last epoch, ``diverged`` where it went wrong; None otherwise. ``notes``
    are about the data (classes without a sample, empty recordings), sequences shorter than a period, and layers that do
    not spike; ``silent`` says whether there are such layers at the best epoch. ``frozen_weights`` counts single weights
    that did not change in the last epoch although they had a gradient
    (:class:`brfkit.training.divergence.WeightWatch`).
    ``folder`` has the files of the run, ``metrics`` every row of ``metrics.csv``.
    """

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
    stopped: str | None = None
    spikes_by_layer: list[float] | None = None
    notes: list[str] = field(default_factory=list)
    frozen_weights: int = 0
    silent: bool = False
    folder: RunFolder = field(kw_only=True)
    metrics: tuple[Row, ...] = field(kw_only=True, repr=False)

    @property
    def network(self) -> TrainedNetwork:
        """The network of the best epoch, read from the folder; for the LSTM baseline a :class:`BrfkitError`."""
        return TrainedNetwork.load(self.folder.path)

    @staticmethod
    def stored(folder: RunFolder) -> Run | None:
        """The run that the folder holds, as its files have it; None unless it is over and its result complete."""
        found, names = folder.finished_result(), {f.name for f in fields(Run)}
        known = {name: value for name, value in found.items() if name in names} | {"run_dir": str(folder.path)}
        try:
            return Run(**known, folder=folder, metrics=tuple(folder.metrics())) if found else None
        except TypeError:  # a result of an older version has fewer figures
            return None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the command."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("folder", "metrics")}


class _OtherRunError(BrfkitError):
    """A checkpoint of another run lies in the folder."""


class Epochs:
    """The epochs of one run and what is written after each."""

    def __init__(
        self, folder: RunFolder, dataset: Dataset, trainer: Trainer, observer: Observer, picture: Picture | None
    ) -> None:
        self.folder, self.config, self.dataset = folder, folder.config, dataset
        self.trainer, self.observer, self.picture = trainer, observer, picture
        self.writes = trainer.world.is_main
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.saved = 0  # rows that the last checkpoint holds

    def resume(self) -> None:
        """Go on from the last checkpoint, or where that is damaged from the one before it; from neither at the start.

        Raises:
            BrfkitError: none of those that are there can be used, or the last one belongs to another run.
        """
        problem: BrfkitError | None = None
        for name in self.folder.resumable():
            try:
                self._restore(name)
            except _OtherRunError:
                raise
            except BrfkitError as error:
                problem = problem or error
                continue
            if problem is not None and self.writes:
                log.warning("%s; going on from %s, of epoch %d", problem, name, self.trainer.epoch)
                self.folder.replace_last()
            return
        if problem is not None:
            raise BrfkitError(f"{problem}; use --force to start anew")

    def _restore(self, name: str) -> None:
        stored = self.folder.load(name)
        try:
            check_values(stored.meta, RESUMED, "its values")
            check_values(stored.meta["trainer"], TRAINER, "its state of the training", required=("optimizer", "epoch"))
            config = Config.from_dict(stored.meta["config"])
            rows = [Row.from_values(values) for values in stored.meta["rows"]]
            same = all(key in EXTENDABLE for key, _, _ in differences(config, self.config))
            if same:
                self.trainer.restore(stored.weights, stored.extra, stored.meta["trainer"])
        except (BrfkitError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = error if isinstance(error, BrfkitError) else repr(error)
            raise BrfkitError(f"{self.folder / name} cannot be resumed from ({reason})") from None
        if not same:
            raise _OtherRunError(f"{self.folder / name} was written by a run with other settings than {CONFIG}")
        self.rows, self.saved = rows, len(rows)

    def go(self, stop: Callable[[], bool]) -> str | None:
        """All epochs that are left; returns what diverged, if anything."""
        trainer, epochs = self.trainer, self.config.training.epochs
        logger = TensorBoardLogger(self.folder.path, trainer.epoch) if self.writes else None
        self.observer.started(trainer, trainer.epoch, epochs)
        try:
            if not self.rows:
                self._finish_epoch(trainer.measure(), logger)
                self._warn_of_silence()
            while trainer.epoch < epochs and self._enough() is None and not stop():
                row = trainer.train_epoch(self.observer.step)
                self._finish_epoch([row, *trainer.measure()], logger)
        except DivergedError as error:
            text = f"{error}; the last good checkpoint is {self.folder / LAST}, of epoch {self.rows[-1].epoch}"
            log.warning("%s", text)
            return text
        finally:
            if logger is not None:
                logger.close()
            if self.saved and self.writes:
                # An interrupt may have come after an epoch was measured and before it was saved: it will be run again.
                self.rows = self.rows[: self.saved]
                self.folder.write_metrics(self.rows)
                self._draw()
        return None

    def _warn_of_silence(self) -> None:
        """Before training: where no neuron spikes at the initial weights."""
        layers = self.trainer.network.spiking_layers
        if self.writes and layers and all(row.spikes_per_sample == 0 for row in self.rows):
            note = silence_note(self.trainer.network, [0.0] * len(layers), self.config.network)
            log.warning("at the initial weights, %s", note)

    def _enough(self) -> str | None:
        """Why no further epoch is needed; None where one is."""
        patience, accuracy = self.config.training.patience, self.config.training.stop_accuracy
        reached = None if accuracy is None else stop_epoch(self.rows, accuracy)
        if reached is not None:
            return f"validation accuracy reached {accuracy:g} % in epoch {reached}"
        best = best_epoch(self.rows)
        if patience is not None and best + patience <= self.trainer.epoch < self.config.training.epochs:
            return f"no better validation loss since epoch {best}"
        return None

    def _best(self) -> int:
        return best_epoch(self.rows, self.config.training.stop_accuracy)

    def _finish_epoch(self, rows: list[Row], logger: TensorBoardLogger | None) -> None:
        self.rows += rows
        best = self._best()
        if logger is not None:
            self._write(best)
            logger.add(rows)
        self.observer.epoch(rows, best)

    def _write(self, best: int) -> None:
        """The last checkpoint after all else: when it exists, everything that it refers to exists too."""
        if self.config.training.keep_weights:
            self.folder.keep_weights(self.trainer.epoch, self.trainer.weights())
        if best == self.trainer.epoch:
            self._save(BEST, {}, {})
        arrays, plain = self.trainer.state_arrays()
        self._save(LAST, arrays, {"trainer": plain, "rows": [row.to_values() for row in self.rows]})
        self.saved = len(self.rows)
        self.folder.write_metrics(self.rows)

    def _save(self, name: str, arrays: dict[str, Any], meta: dict[str, Any]) -> None:
        order = self.dataset.permutation
        if order is not None:
            arrays = {**arrays, "permutation": order}
        meta = {"epoch": self.trainer.epoch, "config": self.config.to_dict(), **meta}
        self.folder.save(name, self.trainer.network, Stored(self.trainer.weights(), meta, arrays))

    def _draw(self) -> None:
        if self.picture is None:
            return
        title = f"{self.config.data.title}, {self.config.network.title}, seed {self.config.training.seed}"
        try:
            self.folder.write_curve(self.picture(self.rows, title, self.config.training.stop_accuracy))
        except Exception as error:  # whatever the drawing meets: the network is trained and its files are written
            log.warning("the learning curve was not drawn: %s", " ".join(str(error).split()) or type(error).__name__)

    def run(self, seconds: float, diverged: str | None) -> Run:
        best = self._best()
        at_best = {row.split: row for row in self.rows if row.epoch == best}
        row = at_best.get(TEST) or next(iter(at_best.values()))
        peak = peak_bytes()
        by_layer = self._spikes_by_layer(row) if self.writes else None
        silent = None if by_layer is None else silence_note(self.trainer.network, by_layer, self.config.network)
        if silent is not None:
            log.warning("%s", silent)
        return Run(
            run_dir=str(self.folder.path),
            dataset=self.config.data.dataset,
            neuron=self.config.network.title,
            parameters=self.trainer.network.parameter_count(),
            epochs=self.trainer.epoch,
            best_epoch=best,
            test_accuracy=row.accuracy,
            test_loss=row.loss,
            spikes_per_sample=row.spikes_per_sample,
            seconds=seconds,
            backend=self.trainer.backend.name,
            peak_memory_mib=math.nan if peak is None else peak / 2**20,
            diverged=diverged,
            stopped=self._enough(),
            spikes_by_layer=by_layer,
            notes=self.notes if silent is None else [*self.notes, silent],
            silent=silent is not None,
            folder=self.folder,
            metrics=tuple(self.rows),
            frozen_weights=self.trainer.watch.frozen_values(),
        )

    def _spikes_by_layer(self, row: Row) -> list[float]:
        """Spikes per sample of every hidden layer at the best epoch; of several layers they have to be counted."""
        layers = self.trainer.network.spiking_layers
        if len(layers) < 2:
            return [row.spikes_per_sample] * len(layers)
        split = self.trainer.test_split if row.split == TEST else self.trainer.validation_split
        assert split is not None
        weights, counts = self.folder.load(BEST).weights, np.zeros(len(layers))
        for x, _ in batches(split, 256, np.dtype(self.config.training.dtype)):
            trace = self.trainer.backend.scan(self.trainer.network, weights, x)
            counts += [trace.spike_counts[layer.name].sum() for layer in layers]
        return [float(count) / len(split) for count in counts]
