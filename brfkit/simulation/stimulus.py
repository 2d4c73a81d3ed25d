"""Input currents over time: made by a formula, or read from a file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError

STIMULI = ("pulse", "step", "sine", "chirp", "noise")
PERIODIC = ("pulse", "sine", "chirp")


@dataclass(frozen=True)
class Stimulus:
    """A current that a formula gives; 0 outside of ``start`` ≤ t < ``stop``.

    Attributes:
        kind: ``pulse`` (one step long at ``start``; up to ``stop`` where that is given; with a frequency a train of
            one-step pulses), ``step`` (constant), ``sine``, ``chirp`` (a sine whose frequency rises linearly from 0 to
            twice ``frequency``), ``noise`` (white, Gaussian, drawn anew at every step).
        amplitude: current; of noise the standard deviation.
        frequency: rad per unit time, the unit of ω; None where the kind has none.
        start, stop: times in the unit of δ; None as ``stop`` is the end.
        seed: of the noise.
    """

    kind: str
    amplitude: float
    frequency: float | None = None
    start: float = 0.0
    stop: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_kind(self.kind, self.frequency)
        check_window(self.start, self.stop)

    def samples(self, steps: int, dt: float) -> NDArray[np.float64]:
        """The current at t = 0, δ, 2δ, …: (steps,).

        Raises:
            BrfkitError: ``frequency`` is 0 or below, or above π/δ, which steps of δ cannot carry; or ``start`` lies
                behind the last step.
        """
        check_frequency(self.frequency, dt)
        t = times(steps, dt)
        on = window(t, dt, self.start, self.stop)
        since = t - self.start
        omega = 0.0 if self.frequency is None else self.frequency
        if self.kind == "noise":
            signal = np.random.default_rng(self.seed).standard_normal(steps)
        elif self.kind == "pulse":
            signal = self._pulse(on, since, dt)
        elif self.kind == "step":
            signal = np.ones(steps)
        elif self.kind == "sine":
            signal = np.sin(omega * since)
        else:
            length = max(float(since[on].max(initial=0.0)), dt)
            signal = np.sin(omega * since**2 / length)
        return np.where(on, self.amplitude * signal, 0.0)

    def _pulse(self, on: NDArray[np.bool_], since: NDArray[np.float64], dt: float) -> NDArray[np.float64]:
        if self.frequency is not None:
            phase = (since + 0.5 * dt) % (2.0 * np.pi / self.frequency)
            return (phase < dt).astype(np.float64)
        signal = np.zeros(len(on))
        signal[np.argmax(on) : None if self.stop is not None else np.argmax(on) + 1] = 1.0
        return signal


def times(steps: int, dt: float) -> NDArray[np.float64]:
    """0, δ, 2δ, …: (steps,)."""
    return np.arange(steps, dtype=np.float64) * np.float64(dt)


def check_kind(kind: str, frequency: float | None) -> None:
    if kind not in STIMULI:
        raise BrfkitError(f"unknown stimulus {kind!r}; there are {', '.join(STIMULI)}, or a .npy or .csv file")
    if frequency is not None and kind not in PERIODIC:
        raise BrfkitError(f"the stimulus {kind} has no frequency; leave it out, or take {', '.join(PERIODIC)}")


def check_frequency(frequency: float | None, dt: float) -> None:
    if frequency is not None and not 0 < frequency <= np.pi / dt:
        raise BrfkitError(
            f"the frequency must lie above 0 and up to π/δ = {np.pi / dt:g} rad per unit time, not {frequency!r}"
        )


def check_window(start: float, stop: float | None) -> None:
    if not np.isfinite(start) or start < 0:
        raise BrfkitError(f"the stimulus must start at a time from 0 on, not {start!r}")
    if stop is not None and not (np.isfinite(stop) and stop > start):
        raise BrfkitError(f"the stimulus must stop after it starts (start {start:g}, stop {stop!r})")


def window(t: NDArray[np.float64], dt: float, start: float, stop: float | None) -> NDArray[np.bool_]:
    """Which steps lie in start ≤ t < stop; half a step of tolerance, as times are sums of rounded δ."""
    if len(t) and start > t[-1] + 0.5 * dt:
        raise BrfkitError(f"the stimulus starts at {start:g}, after the last step at {t[-1]:g}; take more steps")
    on = t > start - 0.5 * dt
    return on if stop is None else on & (t < stop - 0.5 * dt)


def read_stimulus(path: str | Path) -> NDArray[np.float64]:
    """A current from a ``.npy`` file of real numbers, (steps,) or (steps, neurons), or from a ``.csv`` file with one
    line per step and one column per neuron (a first line of names, empty lines and lines with # are passed over).

    Returns:
        (steps, columns) in float64.

    Raises:
        BrfkitError: the file is missing, damaged, of another shape or type, or holds values that are not finite.
    """
    file = Path(path)
    if file.suffix not in (".npy", ".csv"):
        raise BrfkitError(f"stimulus {str(path)!r} is none of {', '.join(STIMULI)} and no .npy or .csv file")
    try:
        if not file.is_file():
            raise BrfkitError(f"stimulus {path}: {'this is a folder' if file.is_dir() else 'there is no such file'}")
        values, lines = _read_npy(file) if file.suffix == ".npy" else _read_csv(file)
    except OSError as error:
        raise BrfkitError(f"stimulus {path} cannot be read: {error.strerror or error}") from None
    return check_values(values, f"stimulus {path}", lines)


def check_values(values: NDArray[Any], name: str, lines: list[int] | None = None) -> NDArray[np.float64]:
    """``values`` as a finite array (steps, columns) of float64.

    Args:
        values: (steps,) or (steps, neurons).
        name: what to call it in an error.
        lines: line of the file in which each step stands.

    Raises:
        BrfkitError: another shape or type, or values that are not finite.
    """
    if values.dtype.kind not in "biuf":
        raise BrfkitError(f"{name} holds {values.dtype}, not real numbers")
    if values.ndim not in (1, 2) or values.size == 0:
        raise BrfkitError(f"{name} has shape {values.shape}; it must be (steps,) or (steps, neurons)")
    array = values.astype(np.float64).reshape(len(values), -1)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        place = f"step {row}" if lines is None else f"line {lines[row]}"
        raise BrfkitError(f"{name}: {place}, column {column + 1} is {array[row, column]}; only finite numbers work")
    return array


def _read_npy(file: Path) -> tuple[NDArray[Any], None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of a header that is refused anyway
            # Mapped, so that a damaged header cannot ask for more memory than the file has bytes.
            return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False)), None
    except OSError:
        raise
    except Exception as error:  # the header is a Python literal: a damaged one provokes anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BrfkitError(f"stimulus {file} is damaged or no array of numbers ({reason})") from None


def _read_csv(file: Path) -> tuple[NDArray[np.float64], list[int]]:
    rows: list[list[float]] = []
    lines: list[int] = []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BrfkitError(f"stimulus {file} is not text; a .csv file has numbers separated by commas") from None
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.partition("#")[0].split(",")]
        if cells == [""]:
            continue
        values = [_number(cell) for cell in cells]
        if not rows and not lines and all(v is None for v in values):
            lines.append(number)  # the names of the columns
            continue
        if None in values:
            column = values.index(None)
            raise BrfkitError(
                f"stimulus {file}: line {number}, column {column + 1} is {cells[column][:40]!r}, no number"
            )
        if rows and len(values) != len(rows[0]):
            raise BrfkitError(f"stimulus {file}: line {number} has {len(values)} columns, the first has {len(rows[0])}")
        rows.append([v for v in values if v is not None])
        lines.append(number)
    if not rows:
        raise BrfkitError(f"stimulus {file} holds no numbers")
    return np.array(rows), lines[-len(rows) :]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
