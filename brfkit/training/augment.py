"""Augmentation: changes of the training samples that keep their labels, drawn anew in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.data import Dataset, DenseSplit
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.runs.config import TrainingConfig

_STREAM = 7


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of every sample of a batch. It follows from seed, epoch and the sample's number alone.

    Attributes:
        time_stretch: a sample's time runs faster or slower by a factor exp(s), s ~ U(-time_stretch, time_stretch).
        lead_dropout: probability that one of the leads of a sample is set to 0, drawn evenly.
        lead_swap: probability of a sample to have its leads in another order, drawn evenly.
        leads: channels of every lead.
        spikes: whether the input holds single spikes, which move when time is stretched, and not values, which are
            sampled anew.
    """

    time_stretch: float = 0.0
    lead_dropout: float = 0.0
    lead_swap: float = 0.0
    leads: tuple[tuple[int, ...], ...] = ()
    spikes: bool = False

    @staticmethod
    def of(training: TrainingConfig, dataset: Dataset) -> Augmentation | None:
        """What the settings ask for; None where that is nothing.

        Raises:
            BrfkitError: the data are kept as events, or leads are asked for and the data have none.
        """
        stretch, dropout, swap = training.time_stretch, training.lead_dropout, training.lead_swap
        if not (stretch or dropout or swap):
            return None
        if not isinstance(dataset.train, DenseSplit):
            raise BrfkitError("time_stretch, lead_dropout and lead_swap need dense input, not events")
        if (dropout or swap) and not dataset.spec.leads:
            raise BrfkitError(f"the channels of {dataset.name} are not grouped into leads; leave lead_… out")
        x = dataset.train.x
        spikes = all(np.isin(np.unique(part), (-1, 0, 1)).all() for part in np.array_split(x, 16))
        return Augmentation(stretch, dropout, swap, dataset.spec.leads, spikes)

    def apply(
        self, x: NDArray | Events, labels: NDArray[np.int64], samples: NDArray[np.int64], seed: int, epoch: int
    ) -> tuple[NDArray, NDArray[np.int64]]:
        """The batch changed.

        Args:
            x: [T, B, I].
            labels: [B] or [T, B]; with a label per step, those of stretched samples go along.
            samples: [B], numbers of the samples in the training set.
        """
        assert not isinstance(x, Events)
        x, labels = x.copy(), labels.copy()
        for b, sample in enumerate(samples):
            rng = np.random.default_rng([seed, _STREAM, epoch, int(sample)])
            stretch = float(np.exp(rng.uniform(-self.time_stretch, self.time_stretch)))
            dropped, swapped, order, which = rng.random(), rng.random(), rng.random(len(self.leads)), rng.random()
            if self.time_stretch:
                x[:, b], kept = self._stretched(x[:, b], stretch)
                if labels.ndim == 2:
                    labels[:, b] = labels[kept, b]
            if swapped < self.lead_swap:
                new = np.argsort(order)
                x[:, b, np.concatenate(self.leads)] = x[:, b, np.concatenate([self.leads[lead] for lead in new])]
            if dropped < self.lead_dropout:
                x[:, b, list(self.leads[int(which * len(self.leads))])] = 0
        return x, labels

    def _stretched(self, x: NDArray, factor: float) -> tuple[NDArray, NDArray[np.intp]]:
        """A sample [T, I] whose time runs `factor` as long, cut or filled up at its end, and the step of the old time
        that each new one shows."""
        steps = len(x)
        source = (np.arange(steps) / factor).astype(np.intp)
        inside = source < steps
        kept = np.minimum(source, steps - 1)
        if not self.spikes:
            return x[kept], kept
        out = np.zeros_like(x)
        step, channel = np.nonzero(x)
        moved = np.rint(step * factor).astype(np.intp)
        shown = moved < steps
        out[moved[shown], channel[shown]] = x[step[shown], channel[shown]]
        out[~inside] = 0
        return out, kept
