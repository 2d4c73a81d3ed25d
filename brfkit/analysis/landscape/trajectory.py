"""The weights that a run kept after its epochs (``brfkit train --keep-weights``), and the choice of one of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.errors import BrfkitError
from brfkit.network import Weights
from brfkit.runs.folder import RunFolder
from brfkit.trained import TrainedNetwork


def kept_folder(trained: TrainedNetwork) -> RunFolder:
    """The run folder with the weights of the epochs of a network: the one that it was read from, or from a file in it.

    Raises:
        BrfkitError: there are none.
    """
    folder = None if trained.path is None else RunFolder.around(trained.path)
    if folder is None or not folder.kept_files():
        raise BrfkitError(f"{trained.path or trained.name} has no weights of its epochs; train with --keep-weights")
    return folder


def match_loss(
    folder: RunFolder,
    evaluator: PointEvaluator,
    loss: float,
    dtype: DTypeLike = np.float32,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, Weights]:
    """The epoch whose loss on the evaluator's samples is nearest to `loss` (the first of equals), and its weights."""
    epochs = list(folder.kept_files())
    best: tuple[float, int, Weights] | None = None
    for done, epoch in enumerate(epochs):
        weights = folder.kept_weights(epoch, evaluator.network)
        cast = {name: value.astype(dtype) for name, value in weights.items()}
        away = abs(float(evaluator([cast]).loss[0]) - loss)
        if np.isfinite(away) and (best is None or away < best[0]):
            best = away, epoch, weights
        if progress is not None:
            progress(done + 1, len(epochs))
    if best is None:
        raise BrfkitError(f"{folder.path}: no kept epoch has a finite loss")
    return best[1], best[2]
