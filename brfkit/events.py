"""Binary sparse input: which channels are active at which step, in place of a dense (B, T, I) array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError


@dataclass(frozen=True)
class Events:
    """A batch of spike trains.

    Sample ``b`` has at step ``t`` the active channels ``indices[indptr[b, t]:indptr[b, t + 1]]``.
    A channel that stands there twice counts twice.

    Attributes:
        indptr: int64 [B, T + 1], offsets into ``indices``.
        indices: int32 [nnz], channel numbers in ``range(channels)``.
        channels: number of input channels I.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    channels: int

    @property
    def batch(self) -> int:
        return self.indptr.shape[0]

    @property
    def steps(self) -> int:
        return self.indptr.shape[1] - 1

    def dense(self, dtype: np.dtype | type = np.float32) -> NDArray:
        """The same batch as an array [T, B, I]."""
        x = np.zeros((self.batch, self.steps * self.channels), dtype)
        for b, row in enumerate(self.indptr):
            t = np.repeat(np.arange(self.steps), np.diff(row))
            x[b] = np.bincount(t * self.channels + self.indices[row[0] : row[-1]], minlength=x.shape[1])
        return np.ascontiguousarray(x.reshape(self.batch, self.steps, self.channels).transpose(1, 0, 2))

    @staticmethod
    def from_dense(x: NDArray) -> Events:
        """Events of a binary array [T, B, I]; anything but 0 and 1 is refused."""
        if x.ndim != 3:
            raise BrfkitError(f"events need an array (T, B, I), this one has shape {x.shape}")
        active = x != 0
        if not np.array_equal(active, x):
            raise BrfkitError("events need an array of zeros and ones")
        steps, batch, channels = x.shape
        b, t, i = np.nonzero(active.transpose(1, 0, 2))
        counts = np.bincount(b * steps + t, minlength=batch * steps)
        flat = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        indptr = flat[np.arange(batch)[:, None] * steps + np.arange(steps + 1)]
        return Events(indptr, i.astype(np.int32), channels)
