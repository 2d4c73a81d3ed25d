"""A bank of resonators as a spectrogram: tones are found where and as loud as they are, in every kind of file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import wavfile

from brfkit.analysis.neuron.spectrogram import bank as module
from brfkit.analysis.neuron.spectrogram.bank import spectrogram, tuned
from brfkit.analysis.neuron.spectrogram.signal import read_signal
from brfkit.errors import BrfkitError
from brfkit.simulation import simulate
from tests.cli.conftest import command  # noqa: F401

RATE = 4000.0


def tone(frequency, seconds=2.0, amplitude=1.0, rate=RATE):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("log", [True, False])
def test_a_tone_is_found_with_its_amplitude(log):
    """Of a resonator tuned to it; a frame averages the energy over whole and broken cycles, which differ by about
    1 / (2 · cycles per frame), here 1 in 100."""
    bank = spectrogram(tone(100.0), rate=RATE, lowest=50.0, highest=400.0, resonators=40, log=log, hop=0.2)
    frequency = float(bank.frequencies[np.abs(bank.frequencies - 150).argmin()])
    found = spectrogram(
        tone(frequency, amplitude=0.3), rate=RATE, lowest=50.0, highest=400.0, resonators=40, log=log, hop=0.2
    )
    late = found.amplitude[5:]  # after a second, when the start has died away
    loudest = late.argmax(1)
    assert (found.frequencies[loudest] == frequency).all()
    np.testing.assert_allclose(late.max(1), 0.3, rtol=0.02)
    assert found.to_dict()["loudest"] == frequency


def test_a_chirp_is_followed_as_by_the_fourier_transform():
    seconds, low, high = 4.0, 100.0, 500.0
    t = np.arange(int(seconds * RATE)) / RATE
    found = spectrogram(
        np.sin(2 * np.pi * (low * t + (high - low) / (2 * seconds) * t**2)),
        rate=RATE, lowest=80.0, highest=600.0, resonators=100,
    )  # fmt: skip
    middle = slice(50, -50)
    expected = low + (high - low) / seconds * found.t[middle]
    spacing = np.gradient(found.frequencies)
    ridge = found.amplitude[middle].argmax(1)
    # A resonator answers late by about 1/b', meanwhile the chirp has gone on.
    b = found.population.parameters["b_offset"][ridge]
    allowed = 1.5 * spacing[ridge] + 2.0 * (high - low) / seconds / b
    assert (np.abs(found.frequencies[ridge] - expected) < allowed).all()
    assert found.correlation() > 0.5


@pytest.mark.parametrize("name", ["brf", "rf", "bhrf"])
def test_resonators_turn_at_their_frequencies(name):
    """Zero crossings of the ringing of simulated neurons: the turns in between, exact to one step at both ends."""
    dt, f = 0.001, np.array([4.0, 11.0, 17.0])
    population = tuned(name, f, np.full(3, 8.0), dt, "float64")
    current = np.zeros(1500)
    current[0] = 1e-6
    run = simulate(name, parameters=population.parameters, dt=dt, stimulus=current, backend="reference")
    for index, frequency in enumerate(f):
        u = run.states["u"][:, index]
        up = np.flatnonzero((u[:-1] < 0) & (u[1:] >= 0))[:4]
        crossings = up + u[up] / (u[up] - u[up + 1])  # between the steps
        period = np.diff(crossings).mean() * dt
        assert 1 / period == pytest.approx(frequency, rel=1e-3)


def test_spikes_mark_the_tone(monkeypatch):
    signal = tone(120.0)
    found = spectrogram(signal, rate=RATE, lowest=60.0, highest=240.0, resonators=32, spikes=True)
    assert found.spikes is not None
    per_neuron = found.spikes.sum(0)
    assert abs(found.frequencies[per_neuron.argmax()] - 120.0) < 8.0
    assert per_neuron[[0, -1]].sum() == 0
    monkeypatch.setattr(module, "CHUNK", 1000)  # several stretches, going on where the last one ended
    again = spectrogram(signal, rate=RATE, lowest=60.0, highest=240.0, resonators=32, spikes=True)
    np.testing.assert_array_equal(again.spikes, found.spikes)


def test_reference_and_threads_give_the_same():
    runs = [
        spectrogram(tone(30.0, 0.25), rate=RATE, lowest=20.0, highest=200.0, resonators=20, **how)
        for how in ({"backend": "reference"}, {"threads": 1}, {"threads": 2})
    ]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.amplitude, runs[0].amplitude)


def test_downsampling_keeps_low_tones():
    signal = tone(20.0, amplitude=0.5) + tone(1500.0, amplitude=2.0)
    found = spectrogram(signal, rate=RATE, lowest=10.0, highest=40.0, resonators=33, downsample=8, hop=0.25)
    assert found.signal.rate == 500.0
    assert found.amplitude[4:].max() == pytest.approx(0.5, rel=0.1)


def test_every_kind_of_file_gives_the_same_signal(tmp_path):
    values = np.round(tone(50.0, 0.5, 0.8) * 127) / 128  # what 8 bits hold
    stereo = np.stack([values, -values], 1)
    wavfile.write(tmp_path / "a.wav", int(RATE), (values * 2**15).astype(np.int16))
    wavfile.write(tmp_path / "b.wav", int(RATE), (values * 128 + 128).astype(np.uint8))
    wavfile.write(tmp_path / "c.wav", int(RATE), values.astype(np.float32))
    wavfile.write(tmp_path / "d.wav", int(RATE), (stereo * 2**31).astype(np.int32))
    np.save(tmp_path / "e.npy", stereo)
    np.savetxt(tmp_path / "f.csv", stereo, delimiter=",")
    for name in "abc":
        read = read_signal(tmp_path / f"{name}.wav")
        np.testing.assert_allclose(read.values, values, atol=1e-9)
        assert (read.rate, read.seconds) == (RATE, True)
    np.testing.assert_allclose(read_signal(tmp_path / "d.wav", channel=1).values, -values, atol=1e-9)
    np.testing.assert_allclose(read_signal(tmp_path / "d.wav").values, 0.0, atol=1e-9)
    for name in ("e.npy", "f.csv"):
        read = read_signal(tmp_path / name, rate=RATE, channel=0)
        np.testing.assert_allclose(read.values, values, atol=1e-12)
    assert read_signal(tmp_path / "e.npy").rate == 100.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"neuron": "rf", "highest": 500.0}, "rf diverges from"),
        ({"highest": 1200.0}, "turns at up to"),
        ({"highest": 3000.0}, "carry up to 2000"),
        ({"lowest": 500.0, "highest": 100.0}, "must rise"),
        ({"neuron": "lif"}, "no ω–b plane"),
        ({"hop": 100.0}, "longer than the signal"),
        ({"resonators": 1}, "at least 2"),
        ({"downsample": 10_000}, "cannot be downsampled"),
        ({"backend": "torch"}, "does not run this analysis"),
    ],
)
def test_what_does_not_fit_is_refused(settings, words):
    with pytest.raises(BrfkitError, match=words):
        spectrogram(tone(100.0, 0.5), **{"rate": RATE, **settings})


def test_files_that_cannot_be_read_are_refused(tmp_path):
    wavfile.write(tmp_path / "a.wav", 100, np.zeros(100, np.int16))
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:30])
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "x.mp3").write_bytes(b"1")
    np.save(tmp_path / "short.npy", np.zeros(3))
    cases = [
        ("none.wav", "cannot be read"),
        ("cut.wav", "damaged"),
        ("text.wav", "damaged"),
        ("x.mp3", "is none of"),
        ("short.npy", "only 3 samples"),
        ("none.csv", "signal .* no such file"),
    ]
    for name, words in cases:
        with pytest.raises(BrfkitError, match=words):
            read_signal(tmp_path / name)
    with pytest.raises(BrfkitError, match="there is no 2"):
        read_signal(tmp_path / "a.wav", channel=2)
    with pytest.raises(BrfkitError, match="leave --rate out"):
        read_signal(tmp_path / "a.wav", rate=5.0)


def test_silence_is_no_error():
    found = spectrogram(np.zeros(4000), rate=RATE, spikes=True)
    assert found.amplitude.max() == 0.0
    assert found.to_dict()["spikes"] == 0


def test_command(command, tmp_path):  # noqa: F811
    file, out = tmp_path / "tone.wav", tmp_path / "tone.npz"
    wavfile.write(file, int(RATE), (tone(200.0, 0.5) * 2**14).astype(np.int16))
    words = ["spectrogram", file, "--lowest", "50", "--resonators", "30"]
    done = command(*words, "--json", "--out", out, "--plot", tmp_path / "tone.png", "--spikes")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts["resonators"] == 30
    with np.load(out) as arrays:
        assert arrays["amplitude"].shape == arrays["spikes"].shape == (facts["frames"], 30)
        assert int(arrays["spikes"].sum()) == facts["spikes"]
        assert float(arrays["rate"]) == RATE
    for suffix in ("svg", "pdf"):
        plot = tmp_path / f"tone.{suffix}"
        assert command(*words, "--plot", plot, "--scale", "linear").code == 0
        assert plot.stat().st_size > 1000
    again = command(*words, "--out", out)
    assert (again.code, "--force" in again.err) == (1, True)
    missing = command("spectrogram", tmp_path / "none.wav")
    assert (missing.code, missing.out) == (1, "")
    assert len(missing.err.splitlines()) == 1
