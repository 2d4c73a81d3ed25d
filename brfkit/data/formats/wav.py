"""WAV files: sampling rate and sound, whatever the sample format."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.streams import read_bytes

_MAX_BYTES = 1 << 32


def read_wav(path: Path) -> tuple[NDArray[np.float64], int]:
    """The sound of a WAV file.

    Args:
        path: integers of 8 to 32 bits, or floats.

    Returns:
        ``(values, rate)``: float64 (T, channels), integers scaled to -1 … 1, and samples per second.

    Raises:
        BrfkitError: the file cannot be read, is damaged or empty, or holds values that are not finite.
    """
    from scipy.io import wavfile

    content = read_bytes(path, _MAX_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about chunks that are no sound
            rate, values = wavfile.read(io.BytesIO(content))
    except Exception as error:  # damaged headers provoke anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BrfkitError(f"{path} is damaged or no WAV file ({reason})") from None
    if rate <= 0:
        raise BrfkitError(f"{path} is damaged: its sampling rate is {rate}")
    if values.dtype.kind not in "iuf" or values.ndim not in (1, 2):
        raise BrfkitError(f"{path} holds {values.dtype} of shape {values.shape}, which is no sound")
    if values.size == 0:
        raise BrfkitError(f"{path} holds no sound, its length is 0")
    return _scaled(values, path).reshape(len(values), -1), int(rate)


def _scaled(values: NDArray[Any], path: Path) -> NDArray[np.float64]:
    """Integers to -1 … 1; unsigned bytes of WAV files are centred at 128."""
    sound = np.asarray(values, np.float64)
    if values.dtype.kind == "u":
        half = 2.0 ** (8 * values.dtype.itemsize - 1)
        return sound / half - 1.0
    if values.dtype.kind == "i":
        return np.asarray(sound / 2.0 ** (8 * values.dtype.itemsize - 1), np.float64)
    if not np.isfinite(sound).all():
        step = int(np.argmin(np.isfinite(sound.reshape(len(sound), -1)).all(1)))
        raise BrfkitError(f"{path}: sample {step} is not a finite number")
    return sound
