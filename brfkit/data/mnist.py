"""Sequential MNIST: the 784 pixels of a digit one after the other (S-MNIST), or in a fixed random order (PS-MNIST).

Fashion-MNIST has the same files and the same two forms: sfmnist and psfmnist.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import DataFile, DataSpec, DenseSplit, Request
from brfkit.data.files import locate
from brfkit.data.formats.idx import read_idx
from brfkit.errors import BrfkitError

SIDE = 28
STEPS = SIDE * SIDE
CLASSES = 10
WHITE = 255

DIGITS = tuple(map(str, range(CLASSES)))
CLOTHES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)

_MNIST_SERVER = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION_SERVER = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"


def _file(split: str, name: str, md5: str | None, url_md5: str, server: str) -> DataFile:
    dotted = name.replace("-idx", ".idx")
    also = (f"{name}.gz", dotted, f"{dotted}.gz")
    return DataFile(split, name, md5, f"{server}{name}.gz", url_md5, also)


def _files(md5s: tuple[str | None, ...], url_md5s: tuple[str, ...], server: str) -> tuple[DataFile, ...]:
    """The four files; images before labels, the reader takes them in this order."""
    names = (
        ("train", "train-images-idx3-ubyte"),
        ("train", "train-labels-idx1-ubyte"),
        ("test", "t10k-images-idx3-ubyte"),
        ("test", "t10k-labels-idx1-ubyte"),
    )
    return tuple(
        _file(split, name, md5, url_md5, server)
        for (split, name), md5, url_md5 in zip(names, md5s, url_md5s, strict=True)
    )


FILES = _files(
    (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    _MNIST_SERVER,
)
FASHION_FILES = _files(
    (None,) * 4,
    (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    _FASHION_SERVER,
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


def _read(spec: DataSpec, request: Request) -> DenseSplit:
    folder = request.root / str(spec.folder)
    images, labels = (locate(folder, f, spec.name) for f in spec.files if f.split == request.split)
    pixels, digits = read_digits(images, labels)
    if request.order is not None:
        pixels = pixels[:, request.order]
    return DenseSplit(pixels[:, :, None], digits, divisor=WHITE)


def _spec(name: str, title: str, permuted: bool, fashion: bool = False) -> DataSpec:
    notes = "Pixels are divided by 255."
    return DataSpec(
        name=name,
        title=title,
        channels=1,
        steps=STEPS,
        class_names=CLOTHES if fashion else DIGITS,
        labels_per_step=False,
        read=lambda request: _read(SPECS[name], request),
        licence="MIT" if fashion else "CC-BY-SA-3.0",
        citation=(
            "Xiao, Rasul, Vollgraf: Fashion-MNIST, a novel image dataset for benchmarking machine learning algorithms, "
            "arXiv:1708.07747 (2017)"
            if fashion
            else "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition (1998)"
        ),
        folder="fashion-mnist" if fashion else "mnist",
        files=FASHION_FILES if fashion else FILES,
        permuted=permuted,
        notes=notes + " The permutation belongs to the trained network." if permuted else notes,
        samples={"train": 60_000, "test": 10_000},
    )


SMNIST = _spec("smnist", "sequential MNIST, one pixel in [0, 1] per step", False)
PSMNIST = _spec("psmnist", "sequential MNIST with one fixed random permutation of the pixels", True)
SFMNIST = _spec("sfmnist", "sequential Fashion-MNIST, one pixel in [0, 1] per step", False, fashion=True)
PSFMNIST = _spec(
    "psfmnist", "sequential Fashion-MNIST with one fixed random permutation of the pixels", True, fashion=True
)

SPECS = {spec.name: spec for spec in (SMNIST, PSMNIST, SFMNIST, PSFMNIST)}
