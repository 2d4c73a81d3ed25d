"""A training run in a folder: configuration, metrics, checkpoints; can be killed at any moment and resumed."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from brfkit.backends.base import Backend
from brfkit.baseline import LstmBackend
from brfkit.data import Dataset
from brfkit.data.checks import check_trainable
from brfkit.evaluation import BATCH_SIZE
from brfkit.memory import TrainingShape, check_memory, estimate_training_bytes
from brfkit.runs.config import Config, is_lstm
from brfkit.runs.datasets import load_dataset
from brfkit.runs.folder import PROVENANCE, RunFolder
from brfkit.runs.metrics import stop_epoch
from brfkit.runs.provenance import collect
from brfkit.training.distributed import World
from brfkit.training.epochs import Epochs, Run
from brfkit.training.initial import initialise_from_data, period_note, starting_weights
from brfkit.training.lstm import LstmTrainer, build_lstm
from brfkit.training.observers import Observer, Picture, Silent
from brfkit.training.trainer import Trainer, one_torch_thread

log = logging.getLogger(__name__)


def train(
    config: Config,
    run_dir: str | Path,
    backend: Backend,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    observer: Observer | None = None,
    stop: Callable[[], bool] | None = None,
    world: World | None = None,
    picture: Picture | None = None,
    data: Dataset | None = None,
) -> Run:
    """Train a network as configured and keep everything in a run folder.

    After every epoch the folder holds the best and the last checkpoint and the metrics so far, each written whole.

    Args:
        config: settings.
        run_dir: folder, made if missing.
        backend: compute backend.
        data_dir: folder of the data sets.
        resume: go on where the folder's last checkpoint ends; the result equals that of an undisturbed run. Of a run
            that is over, in a folder that cannot be written, the stored result is returned.
        force: overwrite a run that is there.
        observer: receives the progress.
        stop: asked after every epoch; True ends the run early as if its epochs were over.
        world: the processes that share the work; the main process writes.
        picture: draws ``learning_curve.png``; None leaves it out.
        data: samples in place of those that the settings name.

    Raises:
        BrfkitError: bad data or settings, a folder that holds a run already, or files that cannot be written.
    """
    started = time.perf_counter()
    world = world or World()
    folder = RunFolder(run_dir, config)
    over = Run.stored(folder) if resume and not folder.writable() else None
    if over is not None:
        return over
    dataset = data or load_dataset(config.data, seed=config.training.seed, data_dir=data_dir)
    notes = list(check_trainable(dataset))
    trainer, origin = make_trainer(config, dataset, backend, world, resume and bool(folder.resumable()))
    too_short = period_note(trainer.network, trainer.module.weights(), dataset.steps)
    notes += [] if too_short is None else [too_short]
    if world.is_main:
        for note in notes:
            log.warning("%s", note)
    with folder.lock() if world.is_main else nullcontext():
        if world.is_main:  # not before the data are there
            folder.prepare(resume, force)
            if not folder.has(PROVENANCE):
                found = collect(dataset, trainer.network.parameter_count(), trainer.backend.name)
                folder.write_provenance(found | origin)
        world.broadcast(None)
        epochs = Epochs(folder, dataset, trainer, observer or Silent(), picture)
        epochs.notes = notes
        if resume:
            epochs.resume()
        with _quiet_collector(), one_torch_thread() if trainer.backend.capabilities.own_threads else nullcontext():
            diverged = epochs.go(stop or (lambda: False))
            run = epochs.run(time.perf_counter() - started, diverged)
        if world.is_main:
            accuracy = config.training.stop_accuracy
            if accuracy is not None and diverged is None and stop_epoch(epochs.rows, accuracy) is None:
                log.warning("no epoch reached a validation accuracy of %g %%", accuracy)
            folder.write_result(run.to_dict())
    return run


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """Leave what torch has made so far out of Python's garbage collections, which would go through all of it."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _check_memory(config: Config, dataset: Dataset, parameters: int, states: int) -> None:
    """Refuse a training that does not fit into memory, before any of it is made."""
    training, hidden = config.training, sum(config.network.hidden)
    batch = min(max(training.batch_size, BATCH_SIZE), max(len(split) for split in dataset.splits.values()))
    shape = TrainingShape(
        parameters=parameters,
        itemsize=np.dtype(training.dtype).itemsize,
        moments=0 if training.optimizer == "sgd" else 1 if training.optimizer in ("rmsprop", "adagrad") else 2,
        batch=batch,
        steps=dataset.steps,
        inputs=0 if dataset.spec.events else dataset.channels,
        outputs=dataset.classes,
        units=hidden,
        states=states,
    )
    what = (
        f"training {parameters:,} parameters ({dataset.channels:,} inputs, {hidden:,} hidden neurons, "
        f"{dataset.classes:,} outputs) on {dataset.steps:,} steps"
    )
    check_memory(estimate_training_bytes(shape), what, "use fewer --hidden, or shorter or fewer samples")


def make_trainer(
    config: Config, dataset: Dataset, backend: Backend, world: World, resumed: bool
) -> tuple[Trainer, dict[str, Any]]:
    """The trainer with initial weights, which are replaced where the run is resumed, and where these come from."""
    training = config.training
    dtype = np.dtype(training.dtype)
    if is_lstm(config):
        baseline = build_lstm(config.network, dataset.channels, dataset.classes)
        _check_memory(config, dataset, baseline.parameter_count(), states=2)
        weights = baseline.initialise(training.seed, dtype)
        return LstmTrainer(config, dataset, baseline, weights, LstmBackend(), world), {}
    network = config.network.build(dataset.channels, dataset.classes, training.seed)
    states = max(len(layer.spec.states) for layer in network.layers)
    _check_memory(config, dataset, network.parameter_count(), states)
    weights = network.initialise(training.seed, dtype, config.network.initial_distributions())
    origin = initialise_from_data(config, network, weights, dataset, backend)
    path = config.network.start_from
    if path is not None and not resumed:
        found, origin["start_from"] = starting_weights(path, network, config.network.neuron, dataset.permutation)
        weights = network.masked({name: found[name].astype(dtype) for name in weights})
    return Trainer(config, dataset, network, weights, backend, world), origin
