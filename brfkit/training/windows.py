"""The parts in time that a batch is learned in: one for BPTT, several for truncated BPTT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brfkit.backends.spike_mask import SpikeMask
from brfkit.events import Events
from brfkit.task import sample_count


@dataclass(frozen=True)
class Window:
    """A part of a batch.

    Attributes:
        x: its input [T, B, I], or events.
        labels: [B], or [T, B] of its steps.
        is_first: whether it is the first of its batch, so that all states start from 0.
        dropped: mask of the hidden spikes in it.
    """

    x: Tensor | Events
    labels: NDArray[np.int64]
    is_first: bool
    dropped: SpikeMask | None

    @property
    def samples(self) -> int:
        return sample_count(self.labels)


def windows(
    x: NDArray | Events,
    labels: NDArray[np.int64],
    dropped: SpikeMask | None = None,
    *,
    tbptt: int | None,
    skip_steps: int,
    dtype: np.dtype,
) -> Iterator[Window]:
    """A batch as one window, or in windows of ``tbptt`` steps.

    The first holds more than the ``skip_steps`` first steps, which are not looked at.

    Args:
        x: [T, B, I] or events.
        labels: [B] or [T, B].
        dropped: mask of the hidden spikes; None drops none.
        dtype: of events that are cut.
    """
    steps = x.steps if isinstance(x, Events) else x.shape[0]
    if tbptt is None or tbptt >= steps:
        yield Window(x if isinstance(x, Events) else torch.from_numpy(x), labels, True, dropped)
        return
    dense = torch.from_numpy(x.dense(dtype) if isinstance(x, Events) else x)
    starts = [0, *range(max(tbptt, skip_steps + 1), steps, tbptt)]
    for start, stop in zip(starts, [*starts[1:], steps], strict=True):
        part = labels if labels.ndim == 1 else labels[start:stop]
        yield Window(dense[start:stop], part, start == 0, None if dropped is None else dropped.after(start))
