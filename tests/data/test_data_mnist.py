"""Sequential MNIST: real files, IDX files that are refused, and permutations."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from brfkit.data import check_files, load
from brfkit.data.formats.idx import read_idx
from brfkit.errors import BrfkitError
from brfkit.io.streams import content_md5

from .made import idx_bytes, mnist_arrays

Write = Callable[..., Path]

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_real_files(real_mnist: Path) -> None:
    data = load("smnist", data_dir=real_mnist, limit_test=100)
    assert (len(data.train), len(data.test)) == (60_000, 100)
    assert (data.steps, data.channels, data.classes, data.labels_per_step) == (784, 1, 10, False)
    assert data.permutation is None
    np.testing.assert_array_equal(np.bincount(data.train.y), TRAIN_COUNTS)
    x, y = data.train.batch(range(100))
    assert x.shape == (784, 100, 1)
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(y[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])


def test_real_content_has_the_known_md5(real_mnist: Path) -> None:
    assert [(check.state, check.name) for check in check_files("psmnist", real_mnist)] == [
        ("ok", "train-images-idx3-ubyte"),
        ("ok", "train-labels-idx1-ubyte"),
        ("ok", "t10k-images-idx3-ubyte"),
        ("ok", "t10k-labels-idx1-ubyte"),
    ]


def test_mean_of_real_pixels(real_mnist: Path) -> None:
    """0.1307 is the mean that the field normalises MNIST with."""
    train = load("smnist", data_dir=real_mnist, splits=["train"]).train
    assert abs(train.batch(range(0, 60_000, 7), np.float64)[0].mean() - 0.1307) < 1e-3


@pytest.mark.parametrize("packed", [False, True])
def test_made_files(write_mnist: Write, packed: bool) -> None:
    images, labels = mnist_arrays()
    data = load("smnist", data_dir=write_mnist(packed=packed))
    for dtype in (np.float32, np.float64):
        x, y = data.train.batch([2, 11], dtype)
        assert x.dtype == dtype
        np.testing.assert_array_equal(x[:, :, 0].T, (images[[2, 11]].reshape(2, 784) / 255).astype(dtype))
        np.testing.assert_array_equal(y, labels[[2, 11]])


def test_other_names_and_the_content_decides_about_gzip(write_mnist: Write) -> None:
    root = write_mnist()
    images = root / "mnist" / "train-images-idx3-ubyte"
    images.with_name("train-images.idx3-ubyte.gz").write_bytes(images.read_bytes())
    images.unlink()
    labels = root / "mnist" / "train-labels-idx1-ubyte"
    labels.write_bytes(gzip.compress(labels.read_bytes()))
    assert len(load("smnist", data_dir=root).train) == 12


def test_md5_is_that_of_the_unpacked_content(tmp_path: Path) -> None:
    for name, content in (("raw", b"abc"), ("packed", gzip.compress(b"abc"))):
        (tmp_path / name).write_bytes(content)
        assert content_md5(tmp_path / name) == "900150983cd24fb0d6963f7d28e17f72"


def test_drawn_permutation(write_mnist: Write) -> None:
    root = write_mnist()
    plain, first, again, other = (
        load(name, data_dir=root, seed=seed)
        for name, seed in (("smnist", 0), ("psmnist", 0), ("psmnist", 0), ("psmnist", 1))
    )
    order = first.permutation
    assert order is not None
    assert other.permutation is not None
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(784))
    np.testing.assert_array_equal(order, again.permutation)
    assert (order != other.permutation).mean() > 0.9
    np.testing.assert_array_equal(first.test.batch([1, 5])[0], plain.test.batch([1, 5])[0][order])


def test_given_permutation(write_mnist: Write, tmp_path: Path) -> None:
    root = write_mnist()
    order = np.roll(np.arange(784), 5).astype(np.int32)
    np.save(tmp_path / "order.npy", order)
    np.save(tmp_path / "big_endian.npy", order.astype(">i8"))
    plain = load("smnist", data_dir=root).train.batch([3])[0]
    for given in (order, order.tolist(), tmp_path / "order.npy", str(tmp_path / "big_endian.npy")):
        data = load("psmnist", data_dir=root, permutation=given)
        np.testing.assert_array_equal(data.train.batch([3])[0], plain[order])
        assert data.permutation is not None
        assert data.permutation.dtype == np.int64


@pytest.mark.parametrize(
    ("permutation", "message"),
    [
        (np.arange(783), "784 integers are needed, this is int64 of shape"),
        (np.arange(784.0), "float64"),
        (np.arange(784).reshape(28, 28), "784 integers"),
        (np.r_[np.arange(783), 0], "not a permutation"),
        (np.arange(1, 785), "not a permutation"),
        (np.arange(784) - 1, "not a permutation"),
        ("order.txt", "read from a .npy file of integers, or a .pt"),
        ("missing.pt", "missing.pt cannot be read: No such file"),
        ("missing.npy", "missing.npy: no such file"),
    ],
)
def test_bad_permutation(permutation: object, message: str, write_mnist: Write) -> None:
    with pytest.raises(BrfkitError, match=message):
        load("psmnist", data_dir=write_mnist(), permutation=permutation)


def test_bad_seed(write_mnist: Write) -> None:
    with pytest.raises(BrfkitError, match="must not be negative, it is -1"):
        load("psmnist", data_dir=write_mnist(), seed=-1)


def test_pickled_permutation_is_not_unpickled(write_mnist: Write, tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Touch:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return touched.touch, ()

    np.save(tmp_path / "evil.npy", np.array([Touch()] * 784, object), allow_pickle=True)
    with pytest.raises(BrfkitError, match=r"not a readable \.npy"):
        load("psmnist", data_dir=write_mnist(), permutation=tmp_path / "evil.npy")
    assert not touched.exists()


def header(kind: int, *shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are too few for the header"),
        (header(8, 2, 28, 28)[:9], "9 bytes are too few"),
        (header(8, 2, 28, 28) + bytes(2 * 784 - 1), "= 1568 bytes, the file holds only 1567"),
        (header(8, 2, 28, 28) + bytes(2 * 784 + 1), "= 1568 bytes, the file holds more"),
        (header(8, 2) + bytes(20), "begins with 0x00000801, an IDX file of bytes in 3 dimensions with 0x00000803"),
        (header(13, 2, 28, 28) + bytes(8 * 784), "begins with 0x00000d03"),
        (header(8, 0, 28, 28), "declares 0 x 28 x 28 bytes"),
        (header(8, 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(20), "declares 4294967295 x"),
        (header(8, 340_000, 28, 28) + bytes(20), "= 266560000 bytes, the file holds only 20"),
        (b"\x1f\x8b" + bytes(20), "damaged gzip"),
        (gzip.compress(header(8, 2, 28, 28) + bytes(1568))[:-9], "damaged gzip"),
        (gzip.compress(header(8, 2, 28, 28) + bytes(1568))[:-8] + bytes(8), "damaged gzip"),
        (gzip.compress(header(8, 2, 28, 28) + bytes(1567)), "holds only 1567"),
        (gzip.compress(header(8, 2, 28, 28) + bytes(10**7)), "holds more"),
    ],
    ids=range(14),
)
def test_refused_idx(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BrfkitError, match=message) as error:
        read_idx(tmp_path / "file", 3)
    assert str(tmp_path / "file") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((12, 28, 27)), None, "images of 28 x 27 pixels, 28 x 28 needed"),
        (None, np.arange(11) % 10, "11 labels for 12 images"),
        (None, np.arange(12), "holds the label 11, only 0..9"),
    ],
)
def test_images_and_labels_that_do_not_fit(
    images: np.ndarray | None, labels: np.ndarray | None, message: str, write_mnist: Write
) -> None:
    with pytest.raises(BrfkitError, match=message):
        load("smnist", data_dir=write_mnist(images, labels))


def test_an_unreadable_file(write_mnist: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_mnist()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BrfkitError, match="train-images-idx3-ubyte cannot be read: Permission denied"):
        load("smnist", data_dir=root)


def test_idx_bytes_of_the_tests_are_those_of_the_format() -> None:
    assert idx_bytes(np.array([[1, 2]])) == bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2])


def test_fashion_has_its_own_folder_and_classes(write_mnist: Write) -> None:
    root = write_mnist()
    (root / "mnist").rename(root / "fashion-mnist")
    data, permuted = load("sfmnist", data_dir=root), load("psfmnist", data_dir=root, seed=3)
    assert data.class_names[9] == "ankle boot"
    assert permuted.permutation is not None
    np.testing.assert_array_equal(permuted.test.batch([2])[0], data.test.batch([2])[0][permuted.permutation])
    assert {check.state for check in check_files("sfmnist", root)} == {"different"}
    with pytest.raises(BrfkitError, match="brfkit data fetch smnist"):
        load("smnist", data_dir=root)


def test_a_permutation_in_a_torch_file(write_mnist: Write, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(784)
    torch.save(torch.from_numpy(order), tmp_path / "a_permuted_idx.pt")
    np.save(tmp_path / "a.npy", order)
    root = write_mnist()
    found = [
        load("psmnist", data_dir=root, limit_test=3, splits=("test",), permutation=tmp_path / name)
        for name in ("a_permuted_idx.pt", "a.npy")
    ]
    np.testing.assert_array_equal(found[0].permutation, order)
    np.testing.assert_array_equal(found[0].test.batch([0, 1, 2])[0], found[1].test.batch([0, 1, 2])[0])


class Harm:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(self.path),)


def test_torch_files_that_are_no_permutation(write_mnist: Write, tmp_path: Path) -> None:
    root, path = write_mnist(), tmp_path / "a.pt"
    cases: list[tuple[object, str]] = [
        (torch.arange(784.0), "a list of integers is needed"),
        (torch.arange(784).reshape(28, 28), "a list of integers is needed"),
        (torch.zeros(784, dtype=torch.int64), "not a permutation"),
        (torch.arange(1).expand(10**12), "claims the shape"),
        ({"order": torch.arange(784)}, "is a dict, not a tensor"),
        (Harm(str(tmp_path / "harm")), "holds more than tensors"),
    ]
    for content, message in cases:
        torch.save(content, path)
        with pytest.raises(BrfkitError, match=message):
            load("psmnist", data_dir=root, permutation=path)
    path.write_bytes(b"")
    with pytest.raises(BrfkitError, match=r"a\.pt is empty"):
        load("psmnist", data_dir=root, permutation=path)
    assert not (tmp_path / "harm").exists()
