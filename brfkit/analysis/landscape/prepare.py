"""What a surface is made from: a network, its centre, the samples, the directions, and the settings that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.landscape.directions import WEIGHTS, Directions, moving_weights, random_directions
from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.analysis.landscape.pca import pca_directions
from brfkit.analysis.landscape.surface import MAX_POINTS, Settings
from brfkit.analysis.landscape.trajectory import kept_files, kept_weights, match_loss
from brfkit.checkpoints.native import Checkpoint, open_checkpoint
from brfkit.data import Split
from brfkit.errors import BrfkitError
from brfkit.evaluation import BATCH_SIZE, batches
from brfkit.events import Events
from brfkit.io.streams import file_digest
from brfkit.network import Weights
from brfkit.subject import Subject, open_subject

FILTER, PCA = "filter", "pca"


@dataclass(frozen=True)
class Request:
    """Which surface is wanted; see :func:`brfkit.analysis.landscape.run.landscape`."""

    dataset: str | None = None
    neuron: str | None = None
    permutation: Any = None
    split: str = "test"
    samples: int | None = None
    sample_seed: int | None = None
    points: int = 50
    bound: float = 1.0
    line: bool = False
    directions: str = FILTER
    parameters: str = WEIGHTS
    match_loss: float | None = None
    match_epoch: int | None = None
    batch_size: int = BATCH_SIZE
    dtype: str = "float32"
    backend: Any = "auto"
    threads: int | None = None
    data_dir: str | Path | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuse what makes no surface."""
        if not 2 <= self.points <= MAX_POINTS:
            raise BrfkitError(f"points must be 2 to {MAX_POINTS}, not {self.points}")
        if not (np.isfinite(self.bound) and self.bound > 0):
            raise BrfkitError(f"bound must be positive, not {self.bound}")
        if self.sample_seed is not None and self.samples is None:
            raise BrfkitError("a seed for the samples needs a number of them; use --samples")
        if self.match_loss is not None and self.match_epoch is not None:
            raise BrfkitError("one of --match-loss and --match-epoch is enough")
        for name, value, known in (("directions", self.directions, (FILTER, PCA)), ("split", self.split, SPLITS)):
            if value not in known:
                raise BrfkitError(f"{name} must be {' or '.join(known)}, not {value!r}")


SPLITS = ("test", "train")


@dataclass(frozen=True)
class Prepared:
    """Ready to be evaluated.

    Attributes:
        subject: network, samples and task; its weights are the centre, in the dtype of the computation.
        evaluator: of the network on the samples.
        centre: weights as they were stored.
        settings: what the surface depends on.
    """

    checkpoint: str | Path
    subject: Subject
    evaluator: PointEvaluator
    centre: Weights
    settings: Settings

    def directions(self) -> Directions:
        """The directions that the settings name."""
        settings, network = self.settings, self.subject.network
        count = 1 if settings.line else 2
        if settings.directions == FILTER:
            return random_directions(network, self.centre, settings.parameters, settings.seed, count)
        trajectory = {epoch: kept_weights(self.checkpoint, network, epoch) for epoch in kept_files(self.checkpoint)}
        return pca_directions(self.centre, trajectory, moving_weights(network, settings.parameters), count)


def prepare(checkpoint: str | Path, request: Request, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Open a checkpoint and its data, choose the centre.

    Args:
        checkpoint: run folder, checkpoint file, or published ``.pt``.
        request: which surface.
        progress: called with epochs done and in all, where kept epochs are compared.

    Raises:
        BrfkitError: impossible settings, or checkpoint and data that cannot be read or do not fit each other.
    """
    request.check()
    subject = _open(checkpoint, request)
    evaluator = PointEvaluator(
        subject.network, subject.split, subject.task, subject.backend, dtype=request.dtype,
        batch_size=request.batch_size,
    )  # fmt: skip
    opened = open_checkpoint(checkpoint, request.neuron)
    epoch, centre = None, opened.weights
    if request.match_epoch is not None:
        epoch, centre = request.match_epoch, kept_weights(checkpoint, subject.network, request.match_epoch)
    elif request.match_loss is not None:
        epoch, centre = match_loss(checkpoint, evaluator, request.match_loss, request.dtype, progress)
    moving_weights(subject.network, request.parameters)
    weights = {name: value.astype(request.dtype) for name, value in centre.items()}
    settings = _settings(checkpoint, request, subject, Checkpoint(subject.network, centre).sha256, epoch)
    return Prepared(checkpoint, replace(subject, weights=weights), evaluator, centre, settings)


def _open(checkpoint: str | Path, request: Request) -> Subject:
    drawn = request.sample_seed is not None
    subject = open_subject(
        checkpoint, request.dataset, neuron=request.neuron, permutation=request.permutation, split=request.split,
        samples=None if drawn else request.samples, dtype=request.dtype, backend=request.backend,
        threads=request.threads, data_dir=request.data_dir, seed=request.seed,
    )  # fmt: skip
    if drawn and request.samples is not None:
        count = min(request.samples, len(subject.split))
        chosen = np.random.default_rng(request.sample_seed).choice(len(subject.split), count, replace=False)
        subject = replace(subject, split=subject.split.select(np.sort(chosen)))
    return subject


def _settings(checkpoint: str | Path, request: Request, subject: Subject, sha256: str, epoch: int | None) -> Settings:
    task = subject.task
    return Settings(
        checkpoint=subject.name,
        checkpoint_sha256=sha256,
        neuron=subject.neuron,
        dataset=subject.data.name,
        data_sha256=data_sha256(subject.split),
        split=request.split,
        samples=len(subject.split),
        sample_seed=request.sample_seed,
        seed=request.seed,
        points=request.points,
        bound=float(request.bound),
        line=request.line,
        directions=request.directions,
        parameters=request.parameters,
        epoch=epoch,
        trajectory_sha256=_trajectory_sha256(checkpoint) if request.directions == PCA else None,
        loss_on=task.loss_on,
        accuracy_from=task.accuracy_from,
        skip_steps=task.skip_steps,
        dtype=request.dtype,
        backend=subject.backend.name,
        batch_size=request.batch_size,
    )


def data_sha256(split: Split) -> str:
    """Identity of samples and labels as a network sees them, whatever file they come from."""
    digest = hashlib.sha256()
    for x, labels in batches(split, BATCH_SIZE, np.float32):
        parts: tuple[NDArray, ...] = (x.indptr, x.indices) if isinstance(x, Events) else (x,)
        for part in (*parts, labels):
            little = np.ascontiguousarray(part, part.dtype.newbyteorder("<"))
            digest.update(f"{little.dtype.str} {little.shape}\n".encode())
            digest.update(little.tobytes())
    return digest.hexdigest()


def _trajectory_sha256(checkpoint: str | Path) -> str:
    digest = hashlib.sha256()
    for epoch, file in kept_files(checkpoint).items():
        digest.update(f"{epoch} ".encode() + bytes.fromhex(file_digest(file, "sha256")))
    return digest.hexdigest()
