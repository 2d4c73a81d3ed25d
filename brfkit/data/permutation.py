"""The order in which the steps of a sample are shown (PS-MNIST): drawn from a seed, or given."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brfkit.errors import BrfkitError
from brfkit.io.streams import one_line, read_bytes

Permutation: TypeAlias = "ArrayLike | str | os.PathLike[str]"

_MAX_FILE_BYTES = 1 << 20


def time_permutation(permutation: Permutation | None, seed: int, steps: int) -> NDArray[np.int64]:
    """A permutation of ``range(steps)``: step t of a sample becomes what was step ``result[t]``.

    Args:
        permutation: integers [steps], or a ``.npy`` file of them; None draws one.
        seed: of the drawn permutation, at least 0.
        steps: its length.

    Raises:
        BrfkitError: `permutation` is not one of ``range(steps)``, or the file cannot be read, or `seed` is negative.
    """
    if permutation is None:
        if seed < 0:
            raise BrfkitError(f"the seed of the permutation must not be negative, it is {seed}")
        return np.random.default_rng(seed).permutation(steps).astype(np.int64)
    if isinstance(permutation, str | os.PathLike):
        path = Path(permutation).expanduser()
        return _checked(_read_npy(path), steps, str(path))
    return _checked(np.asarray(permutation), steps, "permutation")


def _checked(order: NDArray[Any], steps: int, where: str) -> NDArray[np.int64]:
    if order.shape != (steps,) or not np.issubdtype(order.dtype, np.integer):
        raise BrfkitError(f"{where}: {steps} integers are needed, this is {order.dtype} of shape {order.shape}")
    if not np.array_equal(np.sort(order), np.arange(steps)):
        raise BrfkitError(f"{where}: not a permutation, each of 0..{steps - 1} must stand in it once")
    return order.astype(np.int64)


def _read_npy(path: Path) -> NDArray[Any]:
    if path.suffix != ".npy":
        raise BrfkitError(f"{path}: a permutation is read from a .npy file of integers")
    if not path.is_file():
        raise BrfkitError(f"{path}: no such file; a permutation is read from a .npy file of integers")
    content = read_bytes(path, _MAX_FILE_BYTES)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(stream)
        # The array itself is read by hand: numpy would allocate whatever the header declares.
        if len(shape) != 1 or dtype.hasobject or shape[0] * dtype.itemsize != len(content) - stream.tell():
            raise ValueError(f"the header declares {dtype} of shape {shape}")
        return np.frombuffer(content, dtype, offset=stream.tell())
    except Exception as error:  # the header is parsed as Python source, whose errors are of many kinds
        raise BrfkitError(f"{path}: not a readable .npy file of integers ({one_line(error)})") from error
