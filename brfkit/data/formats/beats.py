"""Beats of an ECG recording as labels: WFDB beat annotations (``.atr``) in the classes of ANSI/AAMI EC57."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import DenseSplit
from brfkit.data.formats.levelcross import UNLABELLED, level_cross, read_record, windows
from brfkit.errors import BrfkitError

CLASSES = {
    "N": "NLRejB",  # normal, bundle branch blocks, atrial and nodal escape beats
    "S": "AaJS",  # supraventricular ectopic
    "V": "VEr",  # ventricular ectopic
    "F": "F",  # fusion of a ventricular and a normal beat
    "Q": "/fQ?",  # paced, unclassifiable
}
"""Symbols of WFDB annotations by class; other symbols (rhythm, noise, waves) mark no beat."""

_CLASS = {symbol: index for index, symbols in enumerate(CLASSES.values()) for symbol in symbols}
STEP, BEAT = "step", "beat"


def beats(samples: Sequence[int], symbols: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions and classes (numbers in the order of `CLASSES`) of the annotations that mark a beat, each [n]."""
    marks = [(int(at), _CLASS[symbol]) for at, symbol in zip(samples, symbols, strict=True) if symbol in _CLASS]
    found = np.array(sorted(marks), np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def step_labels(positions: NDArray[np.int64], classes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The class of the beat that is nearest to each step, int64 [length].

    The stretch of a beat ends halfway to its neighbours; before the first and behind the last it is as long as on the
    other side. Steps further out are `UNLABELLED`.
    """
    labels = np.full(length, UNLABELLED, np.int64)
    if len(positions) < 2:
        return labels
    half = np.diff(positions) // 2
    starts = positions - np.concatenate([half[:1], half])
    ends = np.concatenate([positions[:-1] + half, positions[-1:] + half[-1:] + 1])
    ends[:-1] = starts[1:]
    for start, end, label in zip(np.maximum(starts, 0), np.maximum(ends, 0), classes, strict=True):
        labels[start:end] = label
    return labels


def beat_windows(
    events: NDArray[np.uint8], positions: NDArray[np.int64], classes: NDArray[np.int64], steps: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A window of `steps` around each beat, the beat at step ``steps // 2``; beats too near to an end are left out.

    Returns:
        uint8 x [n, steps, channels] and int64 y [n].
    """
    starts = positions - steps // 2
    inside = (starts >= 0) & (starts + steps <= len(events))
    return events[starts[inside, None] + np.arange(steps)], classes[inside]


def encode_beats(
    records: Sequence[str | Path],
    *,
    delta: float | Sequence[float] = 0.1,
    steps: int = 256,
    annotations: str = "atr",
    labels: str = BEAT,
) -> tuple[DenseSplit, tuple[str, ...]]:
    """Level-crossing events of WFDB records, labelled by their beats.

    Args:
        records: paths without suffix.
        delta: see `brfkit.data.formats.levelcross.encode_records`.
        steps: length T of a sample.
        annotations: suffix of the file of beat annotations.
        labels: ``"beat"``, one window and label for each beat, or ``"step"``, windows that follow each other with a
            label for each step.

    Returns:
        the samples: x uint8 [N, T, 4], y int64 [N] or [N, T], the number of the record as groups; and the names of the
        classes that occur, in the order of `CLASSES`.

    Raises:
        BrfkitError: as in `encode_records`, or the annotations mark no beats.
    """
    if labels not in (STEP, BEAT):
        raise BrfkitError(f"labels are per {STEP} or per {BEAT}, not {labels!r}")
    if steps < 1:
        raise BrfkitError(f"a sample needs at least one step, not {steps}")
    parts = []
    for number, record in enumerate(records):
        signal, samples, symbols = read_record(record, annotations)
        positions, classes = beats(samples, symbols)
        if len(positions) < 2:
            raise BrfkitError(f"{record}.{annotations} marks {len(positions)} beats; {' '.join(CLASSES)} are known")
        events = level_cross(signal, delta)
        if labels == BEAT:
            x, y = beat_windows(events, positions, classes, steps)
        else:
            x, y = windows(events, step_labels(positions, classes, len(events)), steps)
        parts.append((x, y, np.full(len(x), number, np.int64)))
    x, y, groups = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not len(x):
        raise BrfkitError(f"{len(parts)} records hold no stretch of {steps} steps around a beat or labelled throughout")
    present, y = np.unique(y, return_inverse=True)
    names = tuple(np.array(list(CLASSES))[present].tolist())
    return DenseSplit(x, y.astype(np.int64), groups=groups), names
