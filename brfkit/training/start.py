"""Training that goes on from a network that was trained before. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.checkpoints.native import Checkpoint, open_checkpoint
from brfkit.checkpoints.published import is_published
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights


def starting_weights(
    path: str | Path, network: Network, neuron: str, permutation: NDArray | None
) -> tuple[Weights, dict[str, Any]]:
    """The weights of a checkpoint for the network that is to be trained.

    The two need not be alike in more than the names and shapes of their weights: RF may go on as BRF.

    Args:
        path: run folder, checkpoint file, or published ``.pt``.
        network: what is to be trained.
        neuron: its hidden neurons, which a published file does not tell.
        permutation: of the pixels, where the data set has one.

    Returns:
        Weights by name in the dtype that they were stored in, and what a run folder says of where they come from.

    Raises:
        BrfkitError: the checkpoint cannot be read, does not fit the network, or saw the pixels in another order.
    """
    file = Path(path)
    checkpoint = open_checkpoint(file, neuron if file.is_file() and is_published(file) else None)
    _check(path, checkpoint, network)
    order = checkpoint.extra.get("permutation")
    if order is not None and permutation is not None and not np.array_equal(order, permutation):
        raise BrfkitError(
            f"start_from: {path} was trained on another permutation of the pixels; give its own with --permutation"
        )
    told = {"path": str(path), "sha256": checkpoint.sha256, "neuron": checkpoint.network.layers[0].neuron}
    return checkpoint.weights, told


def _check(path: str | Path, checkpoint: Checkpoint, network: Network) -> None:
    """Refuse weights of other names or shapes."""
    have, wanted = checkpoint.network.shapes(), network.shapes()
    for name in {**wanted, **have}:
        if have.get(name) != wanted.get(name):
            there, here = (f"{s[name]}" if name in s else "absent" for s in (have, wanted))
            raise BrfkitError(f"start_from: {path} does not fit this network: {name} is {there} there and {here} here")
