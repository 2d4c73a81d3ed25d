"""ECG-QTDB: two leads of the QT database, level-crossing encoded, with a wave label for every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import IGNORED, DataFile, DataSpec, DenseSplit, Request
from brfkit.data.files import locate
from brfkit.data.formats.mat5 import read_arrays
from brfkit.errors import BrfkitError

STEPS = 1300
CHANNELS = 4
CLASS_NAMES = ("P", "PQ", "QR", "RS", "ST", "TP")

_FILE_STEPS = STEPS + 1
_URL = "https://raw.githubusercontent.com/AdaptiveAILab/brf-neurons/main/experiments/ecg/data/"
_MD5 = {"train": "39790ebc28587c94a2245fae7475e6f2", "test": "4deb6d02f9dae171ad99f2b372926cc0"}


def _read(request: Request) -> DenseSplit:
    file = next(f for f in ECG.files if f.split == request.split)
    return read_ecg(locate(request.root / "ecg", file, ECG.name), request.ignore_unlabelled)


def read_ecg(path: Path, ignore_unlabelled: bool = False) -> DenseSplit:
    """One of the two published MAT files.

    Args:
        path: MAT file with `x` (N, 1301, 4), values -1, 0, 1, and `y` (N, 1301, 6), one-hot per step.
        ignore_unlabelled: whether a step without any label gets -1, which leaves it out of loss and accuracy.

    Returns:
        int8 x [N, 1300, 4] and int64 y [N, 1300]: the last step, a filler, is dropped. A step without any label
        gets class 0, as in the published evaluation (see the notes of `ECG`).

    Raises:
        BrfkitError: the file cannot be read or holds anything else.
    """
    arrays = read_arrays(path, ("x", "y"))
    x, y = arrays["x"], arrays["y"]
    classes = len(CLASS_NAMES)
    if x.ndim != 3 or x.shape[1:] != (_FILE_STEPS, CHANNELS) or len(x) == 0:
        raise BrfkitError(f"{path}: x has shape {x.shape}, (N, {_FILE_STEPS}, {CHANNELS}) is needed")
    if y.shape != (len(x), _FILE_STEPS, classes):
        raise BrfkitError(f"{path}: y has shape {y.shape}, {(len(x), _FILE_STEPS, classes)} is needed")
    _only(x, (-1, 0, 1), "x", path)
    _only(y, (0, 1), "y", path)
    labels = y[:, :STEPS]
    if (labels.astype(np.int8).sum(-1) > 1).any():
        raise BrfkitError(f"{path}: y is not one-hot, a step has more than one label")
    events = np.ascontiguousarray(x[:, :STEPS], np.int8)
    classes_of = np.ascontiguousarray(labels.argmax(-1), np.int64)
    if ignore_unlabelled:
        classes_of[~labels.any(-1)] = IGNORED
    return DenseSplit(events, classes_of)


def _only(array: NDArray[Any], allowed: tuple[int, ...], name: str, path: Path) -> None:
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise BrfkitError(f"{path}: {name} holds values that are not finite")
    if not np.isin(array, allowed).all():
        raise BrfkitError(f"{path}: {name} holds {array.min()}..{array.max()}, only {allowed} are possible")


ECG = DataSpec(
    name="ecg",
    title="ECG-QTDB, level-crossing encoded, a wave label for every step",
    channels=CHANNELS,
    steps=STEPS,
    class_names=CLASS_NAMES,
    labels_per_step=True,
    step_seconds=1 / 250,
    read=_read,
    licence="ODC-BY-1.0",
    citation=(
        "Yin, Corradi, Bohté: Accurate and efficient time-domain classification with adaptive spiking recurrent "
        "neural networks, Nature Machine Intelligence 3 (2021); Laguna et al.: A database for evaluation of algorithms "
        "for measurement of QT and other waveform intervals in the ECG, Computers in Cardiology 24 (1997)"
    ),
    folder="ecg",
    files=tuple(
        DataFile(split, f"QTDB_{split}.mat", md5, f"{_URL}QTDB_{split}.mat", md5) for split, md5 in _MD5.items()
    ),
    notes=(
        "About 8 % of the training steps and 10 % of the test steps carry no label, mostly at the end of a recording; "
        "the published code takes the argmax of the zeros there, class P, and so do the published figures. "
        "Events (values 0 and 1) lead the labels by about 24 steps."
    ),
    samples={"train": 618, "test": 141},
    leads=((0, 1), (2, 3)),
    unlabelled=True,
)

SPECS = {ECG.name: ECG}
