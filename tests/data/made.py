"""Contents of small files in the published formats."""

from __future__ import annotations

import struct

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
