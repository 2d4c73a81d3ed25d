"""ECG from recordings: the encoder on made signals, the labels from annotations, the windows, and a missing package."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from brfkit.data.ecg import CLASS_NAMES
from brfkit.data.formats.levelcross import UNLABELLED, encode_records, level_cross, wave_labels, windows
from brfkit.errors import BrfkitError

BEAT = [(0, "("), (10, "p"), (18, ")"), (30, "("), (35, "N"), (42, ")"), (60, "("), (75, "t"), (90, ")")]


def reconstruction(events: np.ndarray, delta: float) -> np.ndarray:
    return delta * np.cumsum(events[:, 0].astype(int) - events[:, 1].astype(int))


def test_a_slow_signal_can_be_put_together_again() -> None:
    t = np.linspace(0, 1, 2000)
    signal = np.sin(7 * t) + 0.3 * np.sin(31 * t)
    for delta in (0.05, 0.1):
        events = level_cross(signal[:, None], delta)
        assert np.abs(reconstruction(events, delta) - signal + signal[0]).max() < delta
        assert not events.all(1).any()


def test_channels_are_up_and_down_of_each_lead() -> None:
    ramp = np.arange(20) * 0.1
    events = level_cross(np.stack([ramp, -ramp], axis=1), [0.1, 0.2])
    assert events.dtype == np.uint8
    assert events.sum(0).tolist() == [19, 0, 0, 9]
    assert events[0].sum() == 0


def test_a_jump_is_one_event_and_nothing_lags_behind() -> None:
    signal = np.array([0, 0, 5.05, 5.0, 5.0, 4.97, 4.9])[:, None]
    assert level_cross(signal, 0.1).tolist() == [[0, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 0], [0, 1]]


def test_decimal_steps_reach_their_level() -> None:
    signal = np.array([round(k * 0.1, 3) for k in range(1000)])[:, None]
    assert level_cross(signal, 0.1)[:, 0].sum() == 999


@pytest.mark.parametrize(
    ("signal", "delta"),
    [
        (np.zeros(5), 0.1),
        (np.zeros((0, 2)), 0.1),
        (np.full((3, 2), np.nan), 0.1),
        (np.zeros((3, 2)), 0.0),
        (np.zeros((3, 2)), -1.0),
        (np.zeros((3, 2)), [0.1, np.nan]),
        (np.zeros((3, 2)), [0.1, 0.1, 0.1]),
    ],
)
def test_refused_signals(signal: np.ndarray, delta: Any) -> None:
    with pytest.raises(BrfkitError, match="level crossing needs"):
        level_cross(signal, delta)


def beats(count: int, every: int = 150) -> tuple[list[int], list[str]]:
    marks = [(start * every + at, symbol) for start in range(count) for at, symbol in BEAT]
    return [at for at, _ in marks], [symbol for _, symbol in marks]


def test_labels_of_a_beat() -> None:
    labels = wave_labels(*beats(2), 300)
    expected = {"P": (0, 18), "PQ": (18, 30), "QR": (30, 35), "RS": (35, 42), "ST": (42, 90), "TP": (90, 150)}
    for name, (start, stop) in expected.items():
        assert (labels[start:stop] == CLASS_NAMES.index(name)).all(), name
    assert (labels[240:] == UNLABELLED).all()  # no P wave follows


def test_labels_with_missing_marks() -> None:
    samples, symbols = beats(1)
    labels = wave_labels(samples[1:], symbols[1:], 100)  # no onset of the P wave
    assert (labels[:18] == UNLABELLED).all()
    assert labels[20] == CLASS_NAMES.index("PQ")
    labels = wave_labels(samples[:4] + samples[5:], symbols[:4] + symbols[5:], 100)  # no QRS peak
    assert (labels[18:] == UNLABELLED).all()
    assert (wave_labels([], [], 5) == UNLABELLED).all()


def test_windows_are_labelled_throughout_and_do_not_overlap() -> None:
    labels = np.zeros(100, int)
    labels[[3, 40]] = UNLABELLED
    events = np.arange(100, dtype=np.uint8)[:, None]
    x, y = windows(events, labels, 20)
    assert x[:, 0, 0].tolist() == [4, 41, 61]
    assert y.shape == (3, 20)
    assert len(windows(events, labels, 70)[0]) == 0


def test_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package in place of which a stand-in gives a made record; NaNs are gaps in the signal."""
    signal = np.cumsum(np.random.default_rng(0).standard_normal((3000, 2)), axis=0)
    signal[500:510] = np.nan
    samples, symbols = beats(20)
    monkeypatch.setitem(
        sys.modules,
        "wfdb",
        SimpleNamespace(
            rdrecord=lambda name, channels: SimpleNamespace(p_signal=signal),
            rdann=lambda name, suffix: SimpleNamespace(sample=np.array(samples), symbol=symbols),
        ),
    )
    split = encode_records(["a", "b"], delta=0.5, steps=1300)
    x, y = split.batch(range(len(split)))
    assert x.shape == (1300, 4, 4)
    assert y.shape == (1300, 4)
    assert split.groups is not None
    assert split.groups.tolist() == [0, 0, 1, 1]
    assert x[500:510, 0].sum() == 0
    with pytest.raises(BrfkitError, match="2 records hold no stretch of 2990"):
        encode_records(["a", "b"], delta=0.5, steps=2990)


def test_a_missing_package_and_missing_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(BrfkitError, match="pip install wfdb"):
        encode_records(["a"])

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError("a.hea")

    monkeypatch.setitem(sys.modules, "wfdb", SimpleNamespace(rdrecord=refuse))
    with pytest.raises(BrfkitError, match="not a readable WFDB record with q1c annotations"):
        encode_records(["a"])
