"""The weights that a run kept after its epochs (``brfkit train --keep-weights``), and the choice of one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights
from brfkit.runs.folder import RunFolder


def kept_files(checkpoint: str | Path) -> dict[int, Path]:
    """The files of kept weights by epoch, beside or in what a checkpoint is: a run folder or a file in one.

    Raises:
        BrfkitError: there are none.
    """
    found = RunFolder.around(checkpoint).kept_files()
    if not found:
        raise BrfkitError(f"{checkpoint} has no weights of its epochs; train with --keep-weights")
    return found


def kept_weights(checkpoint: str | Path, network: Network, epoch: int) -> Weights:
    """The weights kept after exactly that epoch."""
    kept_files(checkpoint)
    return RunFolder.around(checkpoint).kept_weights(epoch, network)


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
    for done, epoch in enumerate(files):
        weights = kept_weights(checkpoint, evaluator.network, epoch)
        cast = {name: value.astype(dtype) for name, value in weights.items()}
        away = abs(float(evaluator([cast]).loss[0]) - loss)
        if np.isfinite(away) and (best is None or away < best[0]):
            best = away, epoch, weights
        if progress is not None:
            progress(done + 1, len(files))
    if best is None:
        raise BrfkitError(f"{checkpoint}: no kept epoch has a finite loss")
    return best[1], best[2]
