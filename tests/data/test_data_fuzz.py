"""Damaged files end in a valid data set or in one line of BrfkitError: no other exception, no hang, no big memory."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from brfkit.data import Dataset, load
from brfkit.errors import BrfkitError
from brfkit.events import Events
from tests.fuzz.mutations import damaged_bytes

from .made import ecg_arrays, own_dense, own_events, recordings, write_own, write_recordings

Write = Callable[..., Path]

ROUNDS = 500
ODD_ROUNDS = 200
MAX_SECONDS = 5.0
MAX_MEMORY = 24 << 20


def outcome(name: str, root: Path) -> Dataset | str:
    """What `load` makes of the folder, within limits of time and memory."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    start = time.process_time()
    result: Dataset | str
    try:
        result = load(name, data_dir=root, splits=["train"])
    except BrfkitError as error:
        result = str(error)
    assert time.process_time() - start < MAX_SECONDS
    assert tracemalloc.get_traced_memory()[1] - before < MAX_MEMORY
    return result


def check(result: Dataset | str) -> bool:
    """Whether the file was accepted; fails where the result keeps neither promise."""
    if isinstance(result, str):
        assert result.strip()
        assert len(result.splitlines()) == 1
        return False
    split = result.train
    assert len(split) >= 1
    x, y = split.batch(range(len(split)), np.float64)
    labels = (result.steps, len(split)) if result.labels_per_step else (len(split),)
    assert y.shape == labels
    assert y.min() >= 0
    assert y.max() < result.classes
    if isinstance(x, Events):
        assert (x.steps, x.batch, x.channels) == (result.steps, len(split), result.channels)
        assert ((x.indices >= 0) & (x.indices < x.channels)).all()
        assert (np.diff(x.indptr.ravel()) >= 0).all()
        assert (x.indptr[0, 0], x.indptr[-1, -1]) == (0, len(x.indices))
        return True
    assert x.shape == (result.steps, len(split), result.channels)
    if result.name == "ecg":
        assert np.isin(x, (-1, 0, 1)).all()
    elif result.name == "smnist":
        assert x.min() >= 0
        assert x.max() <= 1
    assert np.isfinite(x).all()
    return True


@pytest.fixture(autouse=True)
def _traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def fuzz(name: str, root: Path, path: Path) -> tuple[int, int]:
    """Loads `ROUNDS` damaged versions of `path`; returns how many were accepted and refused."""
    original = path.read_bytes()
    assert check(outcome(name, root))
    accepted = 0
    for seed in range(ROUNDS):
        path.write_bytes(damaged_bytes(original, np.random.default_rng(seed)))
        try:
            accepted += check(outcome(name, root))
        except Exception as error:
            raise AssertionError(f"damage {seed} of {path.name}: {error!r}") from error
    return accepted, ROUNDS - accepted


@pytest.mark.parametrize("compressed", [True, False])
def test_mat(write_ecg: Write, compressed: bool) -> None:
    root = write_ecg(do_compression=compressed)
    accepted, refused = fuzz("ecg", root, root / "ecg" / "QTDB_train.mat")
    assert refused > ROUNDS / 2
    assert accepted > 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("part", ["images-idx3", "labels-idx1"])
def test_idx(write_mnist: Write, packed: bool, part: str) -> None:
    root = write_mnist(packed=packed)
    path = root / "mnist" / f"train-{part}-ubyte{'.gz' if packed else ''}"
    accepted, refused = fuzz("smnist", root, path)
    assert refused > ROUNDS / 2
    assert accepted > 0 or packed  # a gzip's checksum leaves next to nothing to be accepted


def odd_arrays(rng: np.random.Generator) -> dict[str, object]:
    """ECG arrays of odd shapes, types and values; some of them happen to be valid."""
    arrays: dict[str, object] = dict(ecg_arrays(int(rng.integers(1, 4))))
    for name in ("x", "y"):
        array = np.asarray(arrays[name])
        kind = rng.integers(12)
        if kind == 0:
            axis = int(rng.integers(3))
            array = np.delete(array, 0, axis)
        elif kind == 1:
            array = array.transpose(rng.permutation(3))
        elif kind == 2:
            array = array.astype(rng.choice(["i1", "i2", "u1", "f4", "i8", "c16", "?", "U1"]))
        elif kind == 3:
            at = tuple(rng.integers(0, size) for size in array.shape)
            array = array.copy()
            array[at] = rng.choice([np.nan, np.inf, -np.inf, 2, -1, 1, 0.5, 300, 1e300])
        elif kind == 4:
            array = np.full(rng.integers(0, 3, int(rng.integers(1, 5))), rng.choice([0.0, 1.0, np.nan]))
        elif kind == 5:
            array = np.array([array, "x"], object)
        arrays[name] = array
    if rng.random() < 0.2:
        del arrays[rng.choice(["x", "y"])]
    if rng.random() < 0.2:
        arrays["extra"] = rng.choice(["words", "more"])
    return arrays


def test_mat_of_odd_arrays(write_ecg: Write) -> None:
    root = write_ecg()
    accepted = 0
    for seed in range(ROUNDS):
        rng = np.random.default_rng(seed)
        scipy.io.savemat(root / "ecg" / "QTDB_train.mat", odd_arrays(rng), do_compression=bool(rng.integers(2)))
        accepted += check(outcome("ecg", root))
    assert ROUNDS / 10 < accepted < ROUNDS * 9 / 10


def test_npy(write_mnist: Write, tmp_path: Path) -> None:
    root = write_mnist()
    path = tmp_path / "order.npy"
    np.save(path, np.arange(784)[::-1])
    original = path.read_bytes()
    refused = 0
    for seed in range(ROUNDS):
        path.write_bytes(damaged_bytes(original, np.random.default_rng(seed)))
        try:
            order = load("psmnist", data_dir=root, permutation=path, limit_train=1).permutation
            assert order is not None
            np.testing.assert_array_equal(np.sort(order), np.arange(784))
        except BrfkitError as error:
            refused += check(str(error)) is False
    assert refused > ROUNDS / 2


def fuzz_own(path: Path) -> tuple[int, int]:
    original = path.read_bytes()
    accepted = 0
    for seed in range(ROUNDS):
        path.write_bytes(damaged_bytes(original, np.random.default_rng(seed)))
        try:
            accepted += check(outcome(str(path), path.parent))
        except Exception as error:
            raise AssertionError(f"damage {seed} of {path.name}: {error!r}") from error
    return accepted, ROUNDS - accepted


@pytest.mark.parametrize("packed", [False, True])
def test_shd(packed: bool, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "shd").mkdir()
    path = write_recordings(tmp_path / "shd" / "shd_train.h5", recordings(samples=6))
    if packed:
        path.with_name("shd_train.h5.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
        path = path.with_name("shd_train.h5.gz")
    accepted, refused = fuzz("shd", tmp_path, path)
    assert refused > ROUNDS / 5
    assert accepted > 0 or packed
    assert not list(cache.glob(".*"))
    assert len(list(cache.iterdir())) <= accepted + 1  # each is the whole of an accepted file


@pytest.mark.parametrize("kind", ["dense", "events"])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_own(kind: str, suffix: str, tmp_path: Path) -> None:
    path = write_own(tmp_path / f"a{suffix}", own_dense() if kind == "dense" else own_events())
    accepted, refused = fuzz_own(path)
    assert refused > ROUNDS / 5
    assert accepted > 0


ODD_VALUES = [np.nan, np.inf, -1.0, 0.0, 1e300, 5.0, 700.0, 65535.0, -0.5, 1 << 40]


def odd(array: np.ndarray, rng: np.random.Generator) -> object:
    """The array with another type, shape, order or value."""
    kind = rng.integers(8)
    if kind == 0 and array.ndim:
        return array[:: -1 if rng.random() < 0.5 else 2]
    if kind == 1:
        return array.astype(rng.choice(["i1", "u2", "f2", "f8", "i8", "c8", "?", "S3"]))
    if kind == 2:
        changed = array.astype(float)
        if changed.size:
            changed.flat[rng.integers(changed.size)] = rng.choice(ODD_VALUES)
        with np.errstate(all="ignore"):
            return changed.astype(array.dtype) if rng.random() < 0.7 else changed
    if kind == 3:
        return array[..., None]
    if kind == 4:
        return array.ravel()[: rng.integers(3)]
    if kind == 5:
        return rng.permutation(array) if array.ndim else array
    if kind == 6:
        return np.zeros(rng.integers(0, 4, int(rng.integers(0, 4))))
    return np.concatenate([array.ravel(), array.ravel()])


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_own_odd_arrays(suffix: str, tmp_path: Path) -> None:
    accepted = 0
    for seed in range(ODD_ROUNDS):
        rng = np.random.default_rng(seed)
        content = own_dense(per_step=bool(seed & 1)) if seed & 2 else own_events()
        for name in rng.choice(list(content), int(rng.integers(1, 3)), replace=False):
            if rng.random() < 0.2:
                del content[name]
            else:
                content[name] = odd(np.asarray(content[name]), rng)
        path = write_own(tmp_path / f"a{suffix}", content)
        try:
            accepted += check(outcome(str(path), tmp_path))
        except Exception as error:
            raise AssertionError(f"odd file {seed}: {error!r}") from error
    assert ODD_ROUNDS / 20 < accepted < ODD_ROUNDS * 0.9


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")
def test_shd_odd_arrays(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "shd").mkdir()
    path = tmp_path / "shd" / "shd_train.h5"
    accepted = 0
    for seed in range(ODD_ROUNDS):
        rng = np.random.default_rng(seed)
        content = recordings(samples=4, seed=seed)
        name = rng.choice(list(content))
        if rng.random() < 0.15:
            del content[name]
        elif name in ("times", "units"):
            row = np.array(content[name][0])
            row[rng.integers(len(row))] = np.asarray(rng.choice(ODD_VALUES)).astype(row.dtype)
            content[name][0] = row[:: -1 if rng.random() < 0.5 else 1][: -1 if rng.random() < 0.2 else None]
        else:
            content[name] = np.asarray(odd(content[name], rng))
        write_recordings(path, content)
        try:
            accepted += check(outcome("shd", tmp_path))
        except Exception as error:
            raise AssertionError(f"odd file {seed}: {error!r}") from error
    assert ODD_ROUNDS / 20 < accepted < ODD_ROUNDS * 0.9
    assert not list(cache.glob(".*"))
