"""The weights that a run kept after its epochs (``brfkit train --keep-weights``), and the choice of one of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights

FOLDER = "weights"
_NAME = re.compile(r"epoch-(\d+)\.npz")


def kept_files(checkpoint: str | Path) -> dict[int, Path]:
    """The files of kept weights by epoch, beside or in what a checkpoint is: a run folder or a file in one.

    Raises:
        BrfkitError: there are none.
    """
    place = Path(checkpoint)
    folder = (place if place.is_dir() else place.parent) / FOLDER
    found = {int(m[1]): file for file in sorted(folder.glob("epoch-*.npz")) if (m := _NAME.fullmatch(file.name))}
    if not found:
        raise BrfkitError(f"{checkpoint} has no weights of its epochs; train with --keep-weights")
    return dict(sorted(found.items()))


def read_kept(path: Path, network: Network) -> Weights:
    """The weights in one file: arrays by name.

    Raises:
        BrfkitError: the file cannot be read or does not fit the network.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            weights = {name: archive[name] for name in archive.files}
    except Exception as error:  # damaged archives make NumPy and zipfile raise many kinds
        raise BrfkitError(f"{path} cannot be read as weights ({type(error).__name__})") from None
    weights = {name: value for name, value in weights.items() if name in network.shapes()}
    try:
        network.check(weights)
    except BrfkitError as error:
        raise BrfkitError(f"{path}: {error}") from None
    return {name: weights[name] for name in network.shapes()}


def match_epoch(checkpoint: str | Path, network: Network, epoch: int) -> Weights:
    """The weights kept after exactly that epoch."""
    files = kept_files(checkpoint)
    if epoch not in files:
        there = f"{min(files)} to {max(files)}" if len(files) > 1 else str(min(files))
        raise BrfkitError(f"{checkpoint} has not kept epoch {epoch}; it has {len(files)} epochs, {there}")
    return read_kept(files[epoch], network)


def match_loss(
    checkpoint: str | Path,
    evaluator: PointEvaluator,
    loss: float,
    dtype: DTypeLike = np.float32,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, Weights]:
    """The epoch whose loss on the evaluator's samples is nearest to `loss` (the first of equals), and its weights."""
    files = kept_files(checkpoint)
    best: tuple[float, int, Weights] | None = None
    for done, (epoch, file) in enumerate(files.items()):
        weights = read_kept(file, evaluator.network)
        cast = {name: value.astype(dtype) for name, value in weights.items()}
        away = abs(float(evaluator([cast]).loss[0]) - loss)
        if np.isfinite(away) and (best is None or away < best[0]):
            best = away, epoch, weights
        if progress is not None:
            progress(done + 1, len(files))
    if best is None:
        raise BrfkitError(f"{checkpoint}: no kept epoch has a finite loss")
    return best[1], best[2]
