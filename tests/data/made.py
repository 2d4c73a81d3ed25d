"""Contents of small files in the published formats."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def ecg_arrays(samples: int = 2) -> dict[str, np.ndarray]:
    """What a QTDB file holds: x (N, 1301, 4) and y (N, 1301, 6) as doubles, here a recurring cycle of labels."""
    rng = np.random.default_rng(samples)
    x = (rng.random((samples, 1301, 4)) < 0.1).astype(float)
    label = (np.arange(1301) // 20 + np.arange(samples)[:, None]) % 6
    y = np.eye(6)[label]
    x[:, -1], y[:, -1] = -1, 0
    return {"x": x, "y": y}


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def mnist_arrays(samples: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(samples)
    images = rng.integers(0, 256, (samples, 28, 28)) * (rng.random((samples, 28, 28)) < 0.2)
    return images.astype(np.uint8), (np.arange(samples) % 10).astype(np.uint8)


def recordings(samples: int = 12, units: int = 700, classes: int = 20, seed: int = 0) -> dict[str, Any]:
    """What a file in the layout of SHD holds; recording 1 has no spikes, and some spikes come after 1 s."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(20, 200, samples)
    counts[1] = 0
    return {
        "times": [np.sort(rng.uniform(0, 1.3, n)).astype(np.float16) for n in counts],
        "units": [rng.integers(0, units, n).astype(np.uint16) for n in counts],
        "labels": (np.arange(samples) % classes).astype(np.uint16),
        "speaker": (np.arange(samples) % 3).astype(np.uint16),
    }


def write_recordings(path: Path, content: Mapping[str, Any]) -> Path:
    """Writes `recordings` in the layout of SHD."""
    with h5py.File(path, "w") as file:
        for name in ("times", "units"):
            if name in content:
                base = content[name][0].dtype
                data = file.create_dataset(f"spikes/{name}", (len(content[name]),), h5py.vlen_dtype(base))
                for n, row in enumerate(content[name]):
                    data[n] = row
        for name, place in (("labels", "labels"), ("speaker", "extra/speaker"), ("keys", "extra/keys")):
            if name in content:
                file[place] = content[name]
    return path


def own_dense(per_step: bool = False) -> dict[str, Any]:
    """A custom file with dense arrays: 6 + 3 samples of 5 steps and 2 channels, 3 classes."""
    rng = np.random.default_rng(1)
    content: dict[str, Any] = {}
    for part, samples in (("train", 6), ("test", 3)):
        content[f"x_{part}"] = rng.standard_normal((samples, 5, 2)).astype(np.float32)
        content[f"y_{part}"] = (np.arange(samples * 5).reshape(samples, 5) if per_step else np.arange(samples)) % 3
    return content


def own_events() -> dict[str, Any]:
    """A custom file with events: 6 + 2 samples, one of them empty, 10 bins of 0.1 s, 8 channels, 3 classes."""
    rng = np.random.default_rng(2)
    content: dict[str, Any] = {"bin_width": 0.1, "steps": 10, "channels": 8}
    for part, counts in (("train", [9, 0, 12, 5, 20, 1]), ("test", [7, 8])):
        content[f"times_{part}"] = rng.uniform(0, 1.1, sum(counts))
        content[f"units_{part}"] = np.arange(sum(counts)) % 8
        content[f"offsets_{part}"] = np.concatenate([[0], np.cumsum(counts)])
        content[f"y_{part}"] = np.arange(len(counts)) % 3
    return content


def write_own(path: Path, content: Mapping[str, Any]) -> Path:
    """Writes arrays as ``.npz`` or HDF5, by the suffix."""
    if path.suffix == ".npz":
        np.savez(path, **content)
        return path
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            array = np.asarray(values)
            file[name] = np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array
    return path
