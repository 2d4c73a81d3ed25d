"""Sequential MNIST: the 784 pixels of a digit one after the other (S-MNIST), or in a fixed random order (PS-MNIST)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import DataFile, DataSpec, DenseSplit, Request
from brfkit.data.files import locate
from brfkit.data.idx import read_idx
from brfkit.errors import BrfkitError

SIDE = 28
STEPS = SIDE * SIDE
CLASSES = 10
WHITE = 255

_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"


def _file(split: str, name: str, md5: str, url_md5: str) -> DataFile:
    dotted = name.replace("-idx", ".idx")
    also = (f"{name}.gz", dotted, f"{dotted}.gz")
    return DataFile(split, name, md5, f"{_URL}{name}.gz", url_md5, also)


# Images before labels: the reader takes them in this order.
FILES = (
    _file(
        "train",
        "train-images-idx3-ubyte",
        "6bbc9ace898e44ae57da46a324031adb",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ),
    _file(
        "train",
        "train-labels-idx1-ubyte",
        "a25bea736e30d166cdddb491f175f624",
        "d53e105ee54ea40749a09fcbcd1e9432",
    ),
    _file(
        "test",
        "t10k-images-idx3-ubyte",
        "2646ac647ad5339dbf082846283269ea",
        "9fb629c4189551a2d022fa330f9573f3",
    ),
    _file(
        "test",
        "t10k-labels-idx1-ubyte",
        "27ae3e4e09519cfbb04c329615203637",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)


def read_digits(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Two IDX files, raw or gzip.

    Returns:
        uint8 pixels [N, 784], row by row, 0 black to 255 white, and int64 labels [N] in 0..9.

    Raises:
        BrfkitError: a file cannot be read, images are not 28 x 28, there are not as many labels as images, or a
            label is not a digit.
    """
    pixels = read_idx(images, 3)
    digits = read_idx(labels, 1)
    if pixels.shape[1:] != (SIDE, SIDE):
        raise BrfkitError(f"{images}: images of {pixels.shape[1]} x {pixels.shape[2]} pixels, {SIDE} x {SIDE} needed")
    if len(digits) != len(pixels):
        raise BrfkitError(f"{labels}: {len(digits)} labels for {len(pixels)} images in {images.name}")
    if digits.max() >= CLASSES:
        raise BrfkitError(f"{labels}: holds the label {digits.max()}, only 0..{CLASSES - 1} are possible")
    return pixels.reshape(-1, STEPS), digits.astype(np.int64)


def _read(request: Request) -> DenseSplit:
    dataset = "smnist" if request.order is None else "psmnist"
    images, labels = (locate(request.root / "mnist", f, dataset) for f in FILES if f.split == request.split)
    pixels, digits = read_digits(images, labels)
    if request.order is not None:
        pixels = pixels[:, request.order]
    return DenseSplit(pixels[:, :, None], digits, divisor=WHITE)


def _spec(name: str, title: str, permuted: bool, notes: str) -> DataSpec:
    return DataSpec(
        name=name,
        title=title,
        channels=1,
        steps=STEPS,
        class_names=tuple(map(str, range(CLASSES))),
        labels_per_step=False,
        read=_read,
        licence="CC-BY-SA-3.0",
        citation="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition (1998)",
        folder="mnist",
        files=FILES,
        permuted=permuted,
        notes=notes,
    )


SMNIST = _spec("smnist", "sequential MNIST, one pixel in [0, 1] per step", False, "Pixels are divided by 255.")
PSMNIST = _spec(
    "psmnist",
    "sequential MNIST with one fixed random permutation of the pixels",
    True,
    "Pixels are divided by 255. The permutation belongs to the trained network.",
)

SPECS = {spec.name: spec for spec in (SMNIST, PSMNIST)}
