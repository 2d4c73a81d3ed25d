"""What a surface is made from: a network, its centre, the samples, the directions, and the settings that name them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from brfkit.analysis.landscape.directions import WEIGHTS, Directions, moving_weights, random_directions
from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.analysis.landscape.pca import pca_directions
from brfkit.analysis.landscape.surface import MAX_POINTS, Settings
from brfkit.analysis.landscape.trajectory import kept_folder, match_loss
from brfkit.backends.base import Backend
from brfkit.checkpoints.native import Checkpoint
from brfkit.errors import BrfkitError
from brfkit.evaluation import BATCH_SIZE
from brfkit.io.streams import file_digest
from brfkit.network import Weights
from brfkit.runs.folder import RunFolder
from brfkit.runs.provenance import data_hash
from brfkit.setups import DataLike, Permutation, Setup, SetupOptions, set_up
from brfkit.trained import TrainedNetwork

FILTER, PCA = "filter", "pca"


class SurfaceOptions(SetupOptions, total=False):
    """Keyword arguments of :func:`brfkit.landscape` that say which surface is wanted; see :class:`SurfaceRequest`."""

    split: str
    samples: int | None
    sample_seed: int | None
    points: int
    bound: float
    line: bool
    directions: str
    parameters: str
    match_loss: float | None
    match_epoch: int | None
    batch_size: int


@dataclass(frozen=True)
class SurfaceRequest:
    """Which surface is wanted.

    Attributes:
        dataset: name or file of a data set, a loaded one, or arrays; None takes what the network was trained on.
        split: ``test`` or ``train``.
        samples: the first so many of it; with `sample_seed` so many that are drawn.
        points: per axis.
        bound: coordinates go from -bound to bound.
        line: along the first direction only.
        directions: ``filter`` (random, filter-normalised) or ``pca`` (where training moved most).
        parameters: see :func:`brfkit.analysis.landscape.directions.moving_weights`.
        match_loss, match_epoch: the centre is a kept epoch: the one with the nearest loss, or that one.
        batch_size: samples at a time; changes no result.
        neuron, permutation, dtype, backend, threads, data_dir, seed: see :class:`brfkit.setups.SetupOptions`.
    """

    dataset: DataLike | None = None
    neuron: str | None = None
    permutation: Permutation = None
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
    dtype: DTypeLike = "float32"
    backend: str | Backend = "auto"
    threads: int | None = None
    data_dir: str | os.PathLike[str] | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuse what makes no surface."""
        if not 2 <= self.points <= MAX_POINTS:
            raise BrfkitError(f"points must be 2 to {MAX_POINTS}, not {self.points}")
        if not 1e-40 <= self.bound <= 1e40:
            raise BrfkitError(f"bound must be positive, from 1e-40 to 1e40, not {self.bound}")
        if self.sample_seed is not None and self.samples is None:
            raise BrfkitError("a seed for the samples needs a number of them; use --samples")
        if self.match_loss is not None and self.match_epoch is not None:
            raise BrfkitError("one of --match-loss and --match-epoch is enough")
        for name, value, known in (("directions", self.directions, (FILTER, PCA)), ("split", self.split, SPLITS)):
            if value not in known:
                raise BrfkitError(f"{name} must be {' or '.join(known)}, not {value!r}")


SPLITS = ("test", "train")


@dataclass(frozen=True)
class SurfaceSetup:
    """A surface that is ready to be evaluated.

    Attributes:
        setup: network, samples, task and backend; its weights are the centre, in the dtype of the computation.
        evaluator: of the network on the samples.
        centre: weights as they were stored.
        settings: what the surface depends on.
    """

    setup: Setup
    evaluator: PointEvaluator
    centre: Weights
    settings: Settings

    def directions(self) -> Directions:
        """The directions that the settings name."""
        settings, network = self.settings, self.setup.network
        count = 1 if settings.line else 2
        if settings.directions == FILTER:
            return random_directions(network, self.centre, settings.parameters, settings.seed, count)
        folder = kept_folder(self.setup.trained)
        trajectory = {epoch: folder.kept_weights(epoch, network) for epoch in folder.kept_files()}
        return pca_directions(self.centre, trajectory, moving_weights(network, settings.parameters), count)


def prepare(
    trained: TrainedNetwork, request: SurfaceRequest, progress: Callable[[int, int], None] | None = None
) -> SurfaceSetup:
    """Load the data of a network, choose the centre.

    Args:
        trained: the network; kept epochs are looked for beside the file that it was read from.
        request: which surface.
        progress: called with epochs done and in all, where kept epochs are compared.

    Raises:
        BrfkitError: impossible settings, or data that cannot be read or do not fit the network.
    """
    request.check()
    setup = _set_up(trained, request)
    evaluator = PointEvaluator(
        setup.network, setup.split, setup.task, setup.backend, dtype=request.dtype, batch_size=request.batch_size
    )
    epoch, centre = None, dict(trained.weights)
    if request.match_epoch is not None:
        epoch, centre = request.match_epoch, kept_folder(trained).kept_weights(request.match_epoch, setup.network)
    elif request.match_loss is not None:
        epoch, centre = match_loss(kept_folder(trained), evaluator, request.match_loss, request.dtype, progress)
    moving_weights(setup.network, request.parameters)
    weights = {name: value.astype(np.dtype(request.dtype)) for name, value in centre.items()}
    settings = _settings(request, setup, Checkpoint(setup.network, centre).sha256, epoch)
    return SurfaceSetup(replace(setup, weights=weights), evaluator, centre, settings)


def _set_up(trained: TrainedNetwork, request: SurfaceRequest) -> Setup:
    drawn = request.sample_seed is not None
    setup = set_up(
        trained, request.dataset, neuron=request.neuron, permutation=request.permutation, split=request.split,
        samples=None if drawn else request.samples, dtype=request.dtype, backend=request.backend,
        threads=request.threads, data_dir=request.data_dir, seed=request.seed,
    )  # fmt: skip
    if drawn and request.samples is not None:
        count = min(request.samples, len(setup.split))
        indices = np.random.default_rng(request.sample_seed).choice(len(setup.split), count, replace=False)
        setup = replace(setup, split=setup.split.select(np.sort(indices)))
    return setup


def _settings(request: SurfaceRequest, setup: Setup, sha256: str, epoch: int | None) -> Settings:
    task = setup.task
    return Settings(
        checkpoint=setup.name,
        checkpoint_sha256=sha256,
        neuron=setup.neuron,
        dataset=setup.data.name,
        data_sha256=data_hash(setup.split),
        split=request.split,
        samples=len(setup.split),
        sample_seed=request.sample_seed,
        seed=request.seed,
        points=request.points,
        bound=float(request.bound),
        line=request.line,
        directions=request.directions,
        parameters=request.parameters,
        epoch=epoch,
        trajectory_sha256=_trajectory_sha256(kept_folder(setup.trained)) if request.directions == PCA else None,
        loss_on=task.loss_on,
        accuracy_from=task.accuracy_from,
        skip_steps=task.skip_steps,
        dtype=np.dtype(request.dtype).name,
        backend=setup.backend.name,
        batch_size=request.batch_size,
    )


def _trajectory_sha256(folder: RunFolder) -> str:
    digest = hashlib.sha256()
    for epoch, file in folder.kept_files().items():
        digest.update(f"{epoch} ".encode() + bytes.fromhex(file_digest(file, "sha256")))
    return digest.hexdigest()
