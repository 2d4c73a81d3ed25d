"""Folders of data: the real one where BRFKIT_DATA_DIR points to it, and small made ones."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from .made import ecg_arrays, idx_bytes, mnist_arrays, recordings, write_recordings


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache; the real files are prepared once in a session."""
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(session_cache))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for this test alone; the folder of its events."""
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "events"


def _real_folder(name: str) -> Path:
    root = os.environ.get("BRFKIT_DATA_DIR")
    if not root:
        pytest.skip("BRFKIT_DATA_DIR is not set: no real data to test with")
    if not (Path(root) / name).is_dir():
        pytest.skip(f"BRFKIT_DATA_DIR has no folder {name}")
    return Path(root)


@pytest.fixture(scope="session")
def real_ecg() -> Path:
    return _real_folder("ecg")


@pytest.fixture(scope="session")
def real_mnist() -> Path:
    return _real_folder("mnist")


@pytest.fixture(scope="session")
def real_shd() -> Path:
    return _real_folder("shd")


@pytest.fixture
def write_shd(tmp_path: Path) -> Callable[..., Path]:
    """Writes recordings as both files of SHD (or another data set); returns the data folder."""

    def write(content: dict[str, object] | None = None, dataset: str = "shd") -> Path:
        (tmp_path / dataset).mkdir(exist_ok=True)
        for split in ("train", "test"):
            write_recordings(tmp_path / dataset / f"{dataset}_{split}.h5", content or recordings())
        return tmp_path

    return write


@pytest.fixture
def write_ecg(tmp_path: Path) -> Callable[..., Path]:
    """Writes arrays as both QTDB files; returns the data folder."""

    def write(arrays: dict[str, object] | None = None, **options: object) -> Path:
        (tmp_path / "ecg").mkdir(exist_ok=True)
        for split in ("train", "test"):
            scipy.io.savemat(
                tmp_path / "ecg" / f"QTDB_{split}.mat",
                ecg_arrays() if arrays is None else arrays,
                **{"do_compression": True, **options},
            )
        return tmp_path

    return write


@pytest.fixture
def write_mnist(tmp_path: Path) -> Callable[..., Path]:
    """Writes images and labels as the four MNIST files, raw or gzip; returns the data folder."""

    def write(images: np.ndarray | None = None, labels: np.ndarray | None = None, packed: bool = False) -> Path:
        (tmp_path / "mnist").mkdir(exist_ok=True)
        made = mnist_arrays()
        images, labels = made[0] if images is None else images, made[1] if labels is None else labels
        for prefix in ("train", "t10k"):
            for name, array in (("images-idx3", images), ("labels-idx1", labels)):
                path = tmp_path / "mnist" / f"{prefix}-{name}-ubyte{'.gz' if packed else ''}"
                content = idx_bytes(array)
                path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
        return tmp_path

    return write
