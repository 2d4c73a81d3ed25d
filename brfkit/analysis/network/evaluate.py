"""Accuracy, loss and spikes of a trained network."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from brfkit.analysis.network.classification import Answers, Classification
from brfkit.analysis.network.predictions import predictions_file
from brfkit.evaluation import BATCH_SIZE, Evaluation
from brfkit.evaluation import evaluate as evaluate_weights
from brfkit.io.atomic import check_writable
from brfkit.setups import DataLike, SetupOptions, set_up
from brfkit.trained import NetworkLike

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class NetworkEvaluation(Evaluation):
    """Figures of one pass of a trained network over a data set.

    Attributes:
        dataset, neuron, backend: names.
        parameters: trained numbers.
        classification: confusion matrix, recall of each class, interval of the accuracy.
    """

    dataset: str = field(kw_only=True)
    neuron: str = field(kw_only=True)
    backend: str = field(kw_only=True)
    parameters: int = field(kw_only=True)
    classification: Classification = field(kw_only=True, repr=False)

    def figures(self) -> dict[str, str | int | float]:
        """Names and figures of all answers together, without those of each class."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "classification"}
        first = {name: values.pop(name) for name in ("dataset", "neuron", "backend")}
        return {**first, **values}

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the command."""
        return {**self.figures(), **self.classification.to_dict()}

    def __getitem__(self, name: str) -> Any:
        """A figure by its name in JSON, as when this was a dictionary; for one release."""
        return self.to_dict()[name]


def evaluate(
    network: NetworkLike,
    dataset: DataLike | None = None,
    *,
    samples: int | None = None,
    split: str = "test",
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
    limit_test: int | None = None,
    predictions: str | os.PathLike[str] | None = None,
    force: bool = False,
    **options: Unpack[SetupOptions],
) -> NetworkEvaluation:
    """Evaluate a trained network on a test set as ``brfkit evaluate`` does.

    Args:
        network: a trained network, or the path of one: run folder, checkpoint file, or published ``.pt``.
        dataset: name or file of a data set, a loaded one, or arrays ``(x, y)``; None takes what it was trained on.
        samples: take the first so many; None takes all.
        split: ``test`` or ``train``.
        batch_size: samples at a time; changes memory, not results.
        progress: called with samples done and samples in all.
        limit_test: the former name of `samples`, for one release.
        predictions: a ``.csv`` file for the predicted class and the probabilities of every sample
            (:mod:`brfkit.analysis.network.predictions`).
        force: overwrite that file.
        options: see :class:`brfkit.setups.SetupOptions`.

    Raises:
        BrfkitError: network or data cannot be read or do not fit each other, there are no samples, or
            the file cannot be written.
    """
    if predictions is not None:
        check_writable(predictions, force)
    count = limit_test if samples is None else samples
    setup = set_up(network, dataset, split=split, samples=count, baseline=True, **options)
    answers = Answers(setup.network.outputs)
    with predictions_file(predictions, setup.task, setup.data.class_names, setup.network.outputs, force) as observe:
        found = evaluate_weights(
            setup.network, setup.weights, setup.split, setup.task, setup.backend,
            batch_size=batch_size, progress=progress, answered=answers.add, observe=observe,
        )  # fmt: skip
    return NetworkEvaluation(
        **vars(found),
        dataset=setup.data.name,
        neuron=setup.neuron,
        backend=setup.backend.name,
        parameters=setup.network.parameter_count(),
        classification=answers.result(setup.data.class_names, options.get("seed", 0)),
    )


__all__ = ["NetworkEvaluation", "evaluate"]
