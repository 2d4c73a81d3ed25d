"""ECG from raw recordings: level-crossing events and wave labels, in the form of the published ECG-QTDB files.

The published files do not come with the thresholds they were made with, so what is encoded here has their form and not
their very events. WFDB records (PhysioNet's QT database) are read by the `wfdb` package, an optional extra.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brfkit.data.base import DenseSplit
from brfkit.errors import BrfkitError
from brfkit.io.streams import one_line

LEADS = 2
UNLABELLED = -1

# A signal that moves by a decimal multiple of delta must reach its level: 0.3 / 0.1 is 2.9999999999999996.
_EDGE = 1e-9

_P, _PQ, _QR, _RS, _ST, _TP = range(6)


def level_cross(signal: ArrayLike, delta: float | Sequence[float]) -> NDArray[np.uint8]:
    """Encodes a signal as the crossings of equidistant levels.

    Each lead has a reference level, at first its first value. Where the signal is `delta` or more above (below) it,
    the step gets an up (down) event, and the reference moves to the last level that was crossed; so there is at most
    one event per lead and step, and the reference never lags behind by `delta`.

    Args:
        signal: [N, leads], finite.
        delta: distance of the levels in the unit of the signal, for all leads or for each.

    Returns:
        uint8 [N, 2 * leads] of zeros and ones: up and down of lead 1, up and down of lead 2, as in the published files.

    Raises:
        BrfkitError: the signal is of another shape or not finite, or a delta is not positive.
    """
    values = np.asarray(signal, np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise BrfkitError(f"level crossing needs a finite signal (steps, leads), not one of shape {values.shape}")
    deltas = np.asarray(delta, np.float64).ravel()
    deltas = np.repeat(deltas, values.shape[1]) if deltas.size == 1 else deltas
    if len(deltas) != values.shape[1] or not (np.isfinite(deltas) & (deltas > 0)).all():
        raise BrfkitError(f"level crossing needs a positive delta for each of {values.shape[1]} leads, not {delta}")
    events = np.zeros((len(values), 2 * values.shape[1]), np.uint8)
    for lead, step in enumerate(deltas.tolist()):
        column = values[:, lead].tolist()
        level = column[0]
        for n, value in enumerate(column):
            distance = (value - level) / step
            levels = int(distance + math.copysign(_EDGE, distance))
            if levels:
                events[n, 2 * lead + (levels < 0)] = 1
                level += levels * step
    return events


def wave_labels(samples: Sequence[int], symbols: Sequence[str], length: int) -> NDArray[np.int64]:
    """The wave that each step belongs to, from the annotations of the QT database.

    Args:
        samples: positions of the annotations, ascending.
        symbols: ``(`` onset, ``p``, ``N``, ``t`` peaks of the P wave, the QRS complex and the T wave, ``)`` end.
        length: number of steps.

    Returns:
        int64 [length], the classes of `brfkit.data.ecg.CLASS_NAMES`: P from onset to end, PQ up to the QRS complex,
        QR up to its peak, RS up to its end, ST up to the end of the T wave, TP up to the next P wave; `UNLABELLED`
        where a mark that is needed is missing.
    """
    labels = np.full(length, UNLABELLED, np.int64)
    waves = _waves(samples, symbols)
    for before, wave, after in zip([None, *waves], waves, [*waves[1:], None], strict=False):
        if wave.kind == "p":
            _mark(labels, wave.onset, wave.end, _P)
            if after is not None and after.kind == "N":
                _mark(labels, wave.end, after.onset, _PQ)
        elif wave.kind == "N":
            _mark(labels, wave.onset, wave.peak, _QR)
            _mark(labels, wave.peak, wave.end, _RS)
        elif wave.kind == "t":
            if before is not None and before.kind == "N":
                _mark(labels, before.end, wave.end, _ST)
            if after is not None and after.kind == "p":
                _mark(labels, wave.end, after.onset, _TP)
    return labels


@dataclass(frozen=True)
class _Wave:
    kind: str
    onset: int | None
    peak: int
    end: int | None


def _waves(samples: Sequence[int], symbols: Sequence[str]) -> list[_Wave]:
    waves = []
    last = len(symbols) - 1
    for k, symbol in enumerate(symbols):
        if symbol in ("p", "N", "t"):
            onset = int(samples[k - 1]) if k > 0 and symbols[k - 1] == "(" else None
            end = int(samples[k + 1]) if k < last and symbols[k + 1] == ")" else None
            waves.append(_Wave(symbol, onset, int(samples[k]), end))
    return waves


def _mark(labels: NDArray[np.int64], start: int | None, stop: int | None, wave: int) -> None:
    if start is not None and stop is not None:
        labels[max(start, 0) : max(stop, 0)] = wave


def windows(
    events: NDArray[np.uint8], labels: NDArray[np.int64], steps: int = 1300
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Cuts a recording into windows of `steps` that follow each other and are labelled throughout.

    Returns:
        uint8 x [N, steps, channels] and int64 y [N, steps]; N may be 0.
    """
    starts = []
    missing = np.concatenate([[0], np.cumsum(labels == UNLABELLED)])
    at = 0
    while at + steps <= len(labels):
        if missing[at + steps] == missing[at]:
            starts.append(at)
            at += steps
        else:  # the window can begin behind the last gap in it at the earliest
            at += int(np.flatnonzero(labels[at : at + steps] == UNLABELLED)[-1]) + 1
    index = np.array(starts, np.int64)[:, None] + np.arange(steps)
    return events[index], labels[index]


def encode_records(
    records: Sequence[str | Path],
    *,
    delta: float | Sequence[float] = 0.1,
    steps: int = 1300,
    annotator: str = "q1c",
) -> DenseSplit:
    """Level-crossing events and wave labels of WFDB records.

    Args:
        records: paths without suffix, such as ``qtdb/sel100``; the header, the signal and the annotations lie beside
            each other.
        delta: distance of the levels in the unit of the records (mV in the QT database), for both leads or for each.
        steps: length T of a sample.
        annotator: suffix of the annotation file.

    Returns:
        x uint8 [N, T, 4], y int64 [N, T], and as groups the number of the record in `records`.

    Raises:
        BrfkitError: the `wfdb` package is missing, a record cannot be read or has fewer than two leads, or no stretch
            of `steps` is labelled throughout.
    """
    if steps < 1:
        raise BrfkitError(f"a sample needs at least one step, not {steps}")
    parts = []
    for number, record in enumerate(records):
        signal, samples, symbols = read_record(record, annotator)
        x, y = windows(level_cross(signal, delta), wave_labels(samples, symbols, len(signal)), steps)
        parts.append((x, y, np.full(len(x), number, np.int64)))
    if not any(len(x) for x, _, _ in parts):
        raise BrfkitError(f"{len(parts)} records hold no stretch of {steps} steps that is labelled throughout")
    x, y, groups = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return DenseSplit(x, y, groups=groups)


def read_record(record: str | Path, annotator: str) -> tuple[NDArray[np.float64], list[int], list[str]]:
    """The signal [N, 2] of a WFDB record, missing values filled, and positions and symbols of its annotations."""
    try:
        import wfdb
    except ImportError as error:
        raise BrfkitError("raw ECG records are read by the wfdb package; install it with: pip install wfdb") from error
    name = str(Path(record).expanduser())
    try:
        signal: Any = wfdb.rdrecord(name, channels=list(range(LEADS))).p_signal
        marks = wfdb.rdann(name, annotator)
    except Exception as error:  # wfdb passes on whatever a missing or damaged file provokes
        raise BrfkitError(
            f"{name}: not a readable WFDB record with {annotator} annotations ({one_line(error)})"
        ) from error
    if signal is None or signal.ndim != 2 or signal.shape[1] != LEADS:
        raise BrfkitError(f"{name}: {LEADS} leads are needed")
    return _filled(np.asarray(signal, np.float64)), [int(s) for s in marks.sample], list(marks.symbol)


def _filled(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The signal with each missing value (NaN) replaced by the one before it, 0 at the beginning."""
    last = np.maximum.accumulate(np.where(np.isnan(signal), 0, np.arange(len(signal))[:, None]), axis=0)
    return np.nan_to_num(np.take_along_axis(signal, last, axis=0))
