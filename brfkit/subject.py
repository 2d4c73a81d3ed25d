"""What work on a trained network starts from: the network, its weights, the samples, who computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.checkpoints.native import open_checkpoint
from brfkit.data import Dataset, Split
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights
from brfkit.runs.datasets import load_dataset
from brfkit.runs.resolve import trained_on
from brfkit.task import Task


@dataclass(frozen=True)
class Subject:
    """A trained network with the samples that it is run on.

    Attributes:
        name: of the checkpoint, without folders and suffix.
        network, weights: what was trained; the dtype of the weights is that of the computation.
        data: the data set, with `split` loaded.
        split: the samples.
        task: where loss and accuracy are taken.
        backend: who computes.
    """

    name: str
    network: Network
    weights: Weights
    data: Dataset
    split: Split
    task: Task
    backend: Backend

    @property
    def neuron(self) -> str:
        """Model of the first layer."""
        return self.network.layers[0].neuron


def open_subject(
    checkpoint: str | Path,
    dataset: str | None = None,
    *,
    neuron: str | None = None,
    permutation: Any = None,
    split: str = "test",
    samples: int | None = None,
    dtype: DTypeLike = np.float32,
    backend: str | Backend = "auto",
    threads: int | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
) -> Subject:
    """Open a checkpoint and the data that it was trained on.

    Args:
        checkpoint: run folder, checkpoint file, or published ``.pt``.
        dataset: None takes the one of the run.
        neuron: for a published file, which neuron it holds.
        permutation: for psmnist, array or ``.npy`` file; None takes the one saved with the run.
        split: ``test`` or ``train``.
        samples: keep the first so many; None keeps all.
        dtype: float32 or float64, of the computation.
        backend: name, or a backend; threads: CPU threads.
        data_dir: folder of the data sets.
        seed: draws the permutation of psmnist where none is given.

    Raises:
        BrfkitError: checkpoint or data cannot be read, or do not fit each other.
    """
    opened = open_checkpoint(checkpoint, neuron)
    facts, task = trained_on(opened, dataset)
    facts = replace(facts, limit_train=None, limit_test=None)
    if samples is not None:
        facts = replace(facts, **{f"limit_{split}": samples})  # type: ignore[arg-type]
    engine = get_backend(backend, threads=threads) if isinstance(backend, str) else backend
    if permutation is None:
        permutation = opened.extra.get("permutation")
    data = load_dataset(facts, seed=seed, data_dir=data_dir, splits=(split,), permutation=permutation)
    network = opened.network
    if data.channels != network.inputs or data.classes > network.outputs:
        raise BrfkitError(
            f"{checkpoint} takes {network.inputs} channels and tells {network.outputs} classes apart; "
            f"{facts.dataset} has {data.channels} and {data.classes}"
        )
    weights = {key: value.astype(np.dtype(dtype)) for key, value in opened.weights.items()}
    name = Path(checkpoint).resolve().stem
    return Subject(name, network, weights, data, data.split(split), task, engine)
