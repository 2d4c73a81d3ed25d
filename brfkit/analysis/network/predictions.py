"""What a network predicts of every sample, as a table."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.evaluation import Observer
from brfkit.io.atomic import atomic_write
from brfkit.io.text import csv_cell
from brfkit.task import EVERY, Task


@contextmanager
def predictions_file(
    path: str | os.PathLike[str] | None,
    task: Task,
    class_names: Sequence[str],
    outputs: int,
    force: bool = False,
) -> Iterator[Observer | None]:
    """Yields what writes a line for every prediction that counts in the accuracy; None where there is no path.

    The columns are ``sample`` (from 0, in the order of the split), ``step`` (only where every step counts), ``true``
    and ``predicted`` (classes from 0), and ``probability of NAME`` for each output: the softmax of what accuracy is
    taken from, which is the last output, the mean or maximum over time, or each step's. What has no label has no line.

    Args:
        path: ends in ``.csv``; it is written whole or not at all.
        task: where the accuracy is taken.
        class_names: of the data.
        outputs: of the network, of which there may be more.
        force: overwrite a file.

    Raises:
        BrfkitError: the file is there already, or cannot be written.
    """
    if path is None:
        yield None
        return
    names = [class_names[index] if index < len(class_names) else str(index) for index in range(outputs)]
    by_step = task.accuracy_from == EVERY
    with atomic_write(path, "w", force) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        head = ["sample", *(["step"] if by_step else []), "true", "predicted"]
        writer.writerow([*head, *(csv_cell(f"probability of {name}") for name in names)])
        done = 0

        def observe(values: NDArray, labels: NDArray[np.int64]) -> None:
            nonlocal done
            for sample in range(values.shape[1]):
                one = slice(sample, sample + 1)
                writer.writerows(_lines(done + sample, values[:, one], labels[..., one], task))
            done += values.shape[1]

        yield observe


def _lines(sample: int, outputs: NDArray, labels: NDArray[np.int64], task: Task) -> Iterator[list[Any]]:
    """The lines of one sample: outputs [T, 1, O], labels [1] or [T, 1]."""
    rows, wanted = task.rows(outputs, labels, task.accuracy_from)
    true = np.broadcast_to(wanted, rows.shape[:-1]).reshape(-1).tolist()
    rows = rows.reshape(-1, rows.shape[-1])
    steps = task.counted(labels, EVERY, len(outputs)).steps if task.accuracy_from == EVERY else None
    predicted = rows.argmax(-1).tolist()  # in the precision of the accuracy
    shares = np.exp(rows.astype(np.float64) - rows.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    for index, row in enumerate(shares):
        step = [] if steps is None else [task.skip_steps + int(steps[index])]
        yield [sample, *step, true[index], predicted[index], *(f"{share:.6g}" for share in row)]
