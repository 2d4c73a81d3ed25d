"""The order in which the steps of a sample are shown (PS-MNIST): drawn from a seed, or given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brfkit.errors import BrfkitError
from brfkit.io.npy import KINDS, npy_array
from brfkit.io.streams import read_bytes
from brfkit.io.torch_file import check_tensor, read_torch_file

Permutation: TypeAlias = "ArrayLike | str | os.PathLike[str]"

_MAX_FILE_BYTES = 1 << 20


def time_permutation(permutation: Permutation | None, seed: int, steps: int) -> NDArray[np.int64]:
    """A permutation of ``range(steps)``: step t of a sample becomes what was step ``result[t]``.

    Args:
        permutation: integers [steps], or a file of them, ``.npy`` or a tensor in a ``.pt``; None draws one.
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
        return _checked(_read(path), steps, str(path))
    return _checked(np.asarray(permutation), steps, "permutation")


def _checked(order: NDArray[Any], steps: int, where: str) -> NDArray[np.int64]:
    if order.shape != (steps,) or not np.issubdtype(order.dtype, np.integer):
        raise BrfkitError(f"{where}: {steps} integers are needed, this is {order.dtype} of shape {order.shape}")
    if not np.array_equal(np.sort(order), np.arange(steps)):
        raise BrfkitError(f"{where}: not a permutation, each of 0..{steps - 1} must stand in it once")
    return order.astype(np.int64)


def _read(path: Path) -> NDArray[Any]:
    """The integers in a ``.npy`` file, or in the one tensor of a torch file."""
    if path.suffix in (".pt", ".pth"):
        return _read_tensor(path)
    if path.suffix != ".npy":
        raise BrfkitError(f"{path}: a permutation is read from a .npy file of integers, or a .pt file of a tensor")
    if not path.exists():
        raise BrfkitError(f"{path}: no such file; a permutation is read from a .npy file of integers")
    content = read_bytes(path, _MAX_FILE_BYTES)
    if not content:
        raise BrfkitError(f"{path} is empty")
    try:
        array = npy_array(content, str(path), KINDS["integer"])
    except BrfkitError as error:
        reason = str(error).removeprefix(str(path)).lstrip()
        raise BrfkitError(f"{path}: not a readable .npy file of integers ({reason})") from None
    return array


def _read_tensor(path: Path) -> NDArray[Any]:
    tensor = check_tensor(read_torch_file(path), f"{path}: what it holds")
    if tensor.is_floating_point() or tensor.ndim != 1 or tensor.numel() > _MAX_FILE_BYTES:
        raise BrfkitError(f"{path}: holds {tensor.dtype} of shape {tuple(tensor.shape)}, a list of integers is needed")
    array: NDArray[Any] = tensor.contiguous().numpy()
    return array
