"""What a training would need: a few of its steps are run and measured, and nothing is written."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from brfkit.backends.base import Backend
from brfkit.evaluation import evaluate
from brfkit.memory import available_bytes, peak_bytes
from brfkit.runs.config import Config
from brfkit.runs.datasets import load_dataset
from brfkit.training.distributed import World
from brfkit.training.run import make_trainer

_STEPS = 4  # the first of them compiles kernels and is not counted
_SECONDS = 20.0
_SAMPLES = 256


@dataclass(frozen=True)
class Plan:
    """Sizes, memory and time of a training.

    Attributes:
        parameters: trained numbers.
        training_samples, validation_samples, test_samples: of the splits.
        steps, channels, classes: of the data.
        batches_per_epoch: batches of training samples.
        memory_mib: largest resident size of the process after a few steps, data included.
        available_mib: memory that is free now; NaN where the system does not tell.
        seconds_per_epoch: training and evaluation, from the steps that were run.
        seconds: of all epochs.
    """

    parameters: int
    training_samples: int
    validation_samples: int
    test_samples: int
    steps: int
    channels: int
    classes: int
    batches_per_epoch: int
    memory_mib: float
    available_mib: float
    seconds_per_epoch: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class _EnoughError(Exception):
    """The steps that are wanted have been run."""


def plan_training(config: Config, backend: Backend, *, data_dir: str | Path | None = None) -> Plan:
    """Run a few steps of a training and say what the whole of it would need.

    Args:
        config: settings.
        backend: compute backend.
        data_dir: folder of the data sets.

    Raises:
        BrfkitError: what training itself would refuse.
    """
    dataset = load_dataset(config.data, seed=config.training.seed, data_dir=data_dir)
    trainer, _ = make_trainer(config, dataset, backend, World(), False)
    per_epoch = _time_of_training(trainer) + _time_of_evaluation(trainer)
    peak, free = peak_bytes(), available_bytes()
    validation = trainer.validation_split
    return Plan(
        parameters=trainer.network.parameter_count(),
        training_samples=len(trainer.train_split),
        validation_samples=0 if validation is None else len(validation),
        test_samples=len(trainer.test_split),
        steps=dataset.steps,
        channels=dataset.channels,
        classes=dataset.classes,
        batches_per_epoch=trainer.steps_per_epoch,
        memory_mib=math.nan if peak is None else peak / 2**20,
        available_mib=math.nan if free is None else free / 2**20,
        seconds_per_epoch=per_epoch,
        seconds=per_epoch * config.training.epochs,
    )


def _time_of_training(trainer: Any) -> float:
    began = time.perf_counter()
    moments: list[float] = []

    def stop(done: int, total: int) -> None:
        moments.append(time.perf_counter())
        if len(moments) >= _STEPS or moments[-1] - began > _SECONDS:
            raise _EnoughError

    with suppress(_EnoughError):
        trainer.train_epoch(stop)
    later = [b - a for a, b in pairwise(moments)]
    per_step = sum(later) / len(later) if later else (moments[-1] - began if moments else 0.0)
    return per_step * float(trainer.steps_per_epoch)


def _time_of_evaluation(trainer: Any) -> float:
    seconds = 0.0
    for split in (trainer.validation_split, trainer.test_split):
        if split is not None and len(split):
            part = split.take(min(_SAMPLES, len(split)))
            found = evaluate(trainer.network, trainer.weights(), part, trainer.task, trainer.backend)
            seconds += found.seconds * len(split) / len(part)
    return seconds
