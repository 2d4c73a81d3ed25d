"""Folders of recordings: front ends against their definitions, splits by speaker, the cache, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import wavfile

from brfkit.cli import cli
from brfkit.data import AudioSettings, EventSplit, dataset_spec, describe, load
from brfkit.data.audio import FRONT_ENDS, features, frontends
from brfkit.errors import BrfkitError
from brfkit.runs.config import Config, DataConfig
from brfkit.runs.datasets import get_audio, load_dataset
from brfkit.runs.unused import check_used

RATE = 4000
SPEAKERS = ("ann", "bob_b", "cy")
PITCH = {"high": 1200.0, "low": 200.0}


def tone(frequency: float, seconds: float = 0.3, rate: int = RATE) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return np.sin(2 * np.pi * frequency * t) * np.minimum(1, 20 * t)


def write(path: Path, sound: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, np.round(20000 * sound).astype(np.int16))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of tones by three speakers, four recordings of each, of 0.3 s and longer."""
    for word, frequency in PITCH.items():
        for s, speaker in enumerate(SPEAKERS):
            for n in range(4):
                sound = tone(frequency * (1 + 0.02 * s), 0.3 + 0.01 * n)
                write(tmp_path / "tones" / word / f"{speaker}_{n}.wav", sound)
    return tmp_path / "tones"


def dense(split: Any) -> np.ndarray:
    x, _ = split.batch(np.arange(len(split)))
    return x.dense() if isinstance(split, EventSplit) else x


def test_speakers_of_the_test_part(folder: Path) -> None:
    data = load(str(folder), audio=AudioSettings(test_speakers=("bob_b",)))
    assert (len(data.train), len(data.test), data.class_names) == (16, 8, ("high", "low"))
    assert data.train.groups is not None
    assert set(data.train.groups.tolist()) == {0, 2}
    assert set(data.test.groups.tolist()) == {1}
    assert data.test.y.tolist() == [0] * 4 + [1] * 4
    assert data.step_seconds == 0.01


def test_random_test_part_is_fixed_by_its_seed(folder: Path) -> None:
    chosen = [load(str(folder), test_fraction=0.25, audio=AudioSettings(test_seed=seed)) for seed in (0, 0, 1)]
    assert [(len(data.train), len(data.test)) for data in chosen] == [(18, 6)] * 3
    one, same, other = (dense(data.test) for data in chosen)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_parts_by_folders_and_by_lists(folder: Path, tmp_path: Path) -> None:
    (folder / "_noise_").mkdir()
    (folder / "testing_list.txt").write_text("low/cy_1.wav\nhigh/ann_0.wav\n")
    (folder / "validation_list.txt").write_text("low/cy_2.wav\n")
    data = load(str(folder), splits=("train", "valid", "test"))
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 21, "valid": 1, "test": 2}
    assert data.test.y.tolist() == [0, 1]
    for part in ("train", "test"):
        (tmp_path / "parts").mkdir(exist_ok=True)
        (tmp_path / "parts" / part).symlink_to(folder, target_is_directory=True)
    data = load(str(tmp_path / "parts"))
    np.testing.assert_array_equal(dense(data.train), dense(data.test))
    assert len(data.train) == 24


def test_pattern_of_speakers(folder: Path) -> None:
    write(folder / "low" / "f3_nohash_12.wav", tone(200))
    data = load(str(folder), splits=("train",))
    assert {0, 1, 2} < set(data.train.groups.tolist())  # f3_nohash is a speaker, too
    with pytest.raises(BrfkitError, match=r"ann_0.wav does not follow the pattern '<speaker>_nohash_<n>'"):
        load(str(folder), audio=AudioSettings(speaker_pattern="<speaker>_nohash_<n>"))
    write(folder / "low" / "no-number.wav", tone(200))
    assert load(str(folder), splits=("train",)).train.groups is None
    with pytest.raises(BrfkitError, match=r"no-number\.wav does not follow"):
        load(str(folder), audio=AudioSettings(test_speakers=("ann",)))
    data = load(str(folder), splits=("train",), audio=AudioSettings(speaker_pattern="<speaker><rest>"))
    assert data.train.groups is not None


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_front_ends_tell_tones_apart_at_any_loudness(front_end: str, folder: Path, tmp_path: Path) -> None:
    settings = AudioSettings(front_end=front_end, bands=12, coefficients=8)
    data = load(str(folder), splits=("train",), audio=settings)
    x = dense(data.train)
    assert x.shape[2] == data.channels == settings.channels()
    assert data.spec.events == (front_end in ("cochlea", "level-crossing"))
    assert np.isfinite(x).all()
    assert data.steps == pytest.approx(0.33 * RATE if front_end == "raw" else 33, abs=1)
    high, low = x[:, 0], x[:, 12]
    assert np.abs(high - low).max() > 0.5
    for word, frequency in PITCH.items():
        write(tmp_path / "quiet" / word / "a_0.wav", 0.1 * tone(frequency))
    quiet = dense(load(str(tmp_path / "quiet"), splits=("train",), audio=settings).train)
    steps = min(len(quiet), len(x))
    np.testing.assert_allclose(quiet[:steps, 0], high[:steps], atol=0.15 if not data.spec.events else 1)


def test_mel_bands_hold_the_tone() -> None:
    settings = AudioSettings(front_end="mel", bands=20)
    for frequency in (300.0, 900.0, 1500.0):
        power = frontends.log_mel(tone(frequency), RATE, settings)
        filters = frontends.mel_filters(20, *frontends._window(settings, RATE))
        centre = filters[int(power[10].argmax())].argmax() * RATE / (2 * (filters.shape[1] - 1))
        assert abs(centre - frequency) < 80
        assert power.max() == 0


def test_mfcc_is_the_cosine_transform_of_the_bands() -> None:
    settings = AudioSettings(bands=16, coefficients=5)
    bands = frontends.log_mel(tone(500), RATE, settings)
    k, n = np.arange(5)[:, None], np.arange(16)
    basis = np.sqrt(2 / 16) * np.cos(np.pi * k * (2 * n + 1) / 32)
    basis[0] /= np.sqrt(2)
    wanted = bands @ basis.T
    found = frontends.frames_of(tone(500), RATE, settings)
    np.testing.assert_allclose(found, (wanted - wanted.mean(0)) / wanted.std(0), rtol=1e-4, atol=1e-4)


def test_cochlea_places_tones_by_frequency_and_halves_spikes_at_twice_the_threshold() -> None:
    settings = AudioSettings(front_end="cochlea", bands=24)
    places = [float(np.median(frontends.spikes_of(tone(f), RATE, settings).units)) for f in (150, 400, 900, 1600)]
    assert places == sorted(places)
    assert places[-1] - places[0] > 10
    one = frontends.spikes_of(tone(400), RATE, settings)
    twice = frontends.spikes_of(tone(400), RATE, AudioSettings(front_end="cochlea", bands=24, threshold=0.01))
    assert len(one.times) / len(twice.times) == pytest.approx(2, abs=0.2)


def test_resampling_keeps_the_tone() -> None:
    found = frontends.resampled(tone(200, 0.5), RATE, 1000)
    assert len(found) == 500
    np.testing.assert_allclose(found[100:400], tone(200, 0.5, 1000)[100:400], atol=0.02)


def test_long_recordings_are_cut_and_short_ones_padded_with_silence(folder: Path) -> None:
    write(folder / "low" / "cy_9.wav", tone(200, 2.0))
    data = load(str(folder), splits=("train",), audio=AudioSettings(front_end="mel", bands=8))
    assert data.steps == 33  # 95 % of the recordings have at most 0.33 s
    x = dense(data.train)
    assert np.abs(x[:, -1]).max() > 0
    assert (x[29:, 0] == 0).all()
    longer = load(str(folder), splits=("train",), audio=AudioSettings(front_end="mel", bands=8, duration=0.5))
    assert longer.steps == 50


def test_formats_of_samples(folder: Path) -> None:
    sound = tone(200)
    formats = (
        sound.astype(np.float32),
        np.round(127 * sound + 128).astype(np.uint8),
        np.round(2**30 * sound).astype(np.int32),
        np.column_stack([sound, sound]),
    )
    for n, values in enumerate(formats):
        wavfile.write(folder / "low" / f"dan_{n}.wav", RATE, values)
    data = load(str(folder), audio=AudioSettings(test_speakers=("dan",), front_end="raw"))
    x = dense(data.test)
    for n in (1, 2, 3):
        np.testing.assert_allclose(x[:, n], x[:, 0], atol=0.03)


def test_silence_gives_no_spikes_and_finite_channels(folder: Path) -> None:
    write(folder / "low" / "ann_7.wav", np.zeros(1000))
    for front_end in FRONT_ENDS:
        data = load(str(folder), splits=("train",), audio=AudioSettings(front_end=front_end, bands=12, coefficients=8))
        silent = dense(data.train)[:, 12 + 4]
        np.testing.assert_array_equal(silent, 0)


def test_features_come_from_the_cache_until_a_recording_changes(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dense(load(str(folder), splits=("train",)).train)
    (kept,) = (cache.parent / "audio").glob("*.npz")

    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(features, "_compute", refuse)
        np.testing.assert_array_equal(dense(load(str(folder), splits=("train",)).train), first)
        with pytest.raises(AssertionError):
            load(str(folder), splits=("train",), audio=AudioSettings(coefficients=12))
        write(folder / "low" / "cy_0.wav", tone(300, 0.31))
        with pytest.raises(AssertionError):
            load(str(folder), splits=("train",))
    write(folder / "low" / "cy_0.wav", tone(200 * 1.04))
    load(str(folder), splits=("train",))
    for kept in (cache.parent / "audio").glob("*.npz"):
        kept.write_bytes(kept.read_bytes()[:-100])
    np.testing.assert_array_equal(dense(load(str(folder), splits=("train",)).train), first)


def test_a_cache_that_cannot_be_written_is_a_warning(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "file"))
    assert len(load(str(folder), splits=("train",)).train) == 24
    assert "features are not kept" in caplog.text


def _short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30])


def _nan(path: Path) -> None:
    wavfile.write(path, RATE, np.array([0.0, np.nan], np.float32))


def _huge(path: Path) -> None:
    wavfile.write(path, RATE, np.array([0.0, 1e200]))


def _empty(path: Path) -> None:
    wavfile.write(path, RATE, np.zeros(0, np.int16))


def _other_rate(path: Path) -> None:
    write(path, tone(200), 8000)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_short, "damaged or no WAV file"),
        (lambda path: path.write_text("text"), "damaged or no WAV file"),
        (lambda path: path.write_bytes(b""), "damaged or no WAV file"),
        (_nan, "sample 1 is not a finite number"),
        (_huge, r"holds the value 1e\+200"),
        (_empty, "holds no sound"),
        (_other_rate, "8000 samples per second, high/ann_0.wav has 4000.*--sample-rate"),
    ],
)
def test_odd_recordings_are_one_clear_line(damage: Callable[[Path], object], says: str, folder: Path) -> None:
    damage(folder / "low" / "bob_b_2.wav")
    with pytest.raises(BrfkitError, match=rf"bob_b_2\.wav.*{says}") as found:
        load(str(folder), splits=("train",))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"test_speakers": ("eve",)}, "no speaker 'eve'; it has ann, bob_b, cy"),
        ({"test_speakers": SPEAKERS}, "all speakers are in the test part"),
        ({}, "no test part; name speakers"),
        ({"bands": 400, "test_fraction": 0.2}, "400 bands are too many"),
        ({"frame_step": 1e-5, "test_fraction": 0.2}, "frame step of 1e-05 s is shorter than a sample"),
        ({"frame_width": 1e-5, "test_fraction": 0.2}, "frame width of 1e-05 s holds no two samples"),
        ({"sample_rate": 100, "test_fraction": 0.2}, "recordings of 100 Hz have no bands"),
        ({"duration": 1e9, "test_fraction": 0.2}, "steps; at most"),
        ({"test_fraction": 1.0}, "leaves no recordings for training"),
    ],
)
def test_settings_that_do_not_go_with_the_folder(settings: dict[str, Any], says: str, folder: Path) -> None:
    with pytest.raises(BrfkitError, match=says):
        load(str(folder), audio=AudioSettings(**settings))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"front_end": "fft"}, "none of raw, mel"),
        ({"coefficients": 50}, "40 bands have no 50 coefficients"),
        ({"speaker_pattern": "<n>"}, "must hold <speaker> once"),
        ({"speaker_pattern": "<speaker>_<speaker>"}, "must hold <speaker> once"),
        ({"test_speakers": ("a",), "test_fraction": 0.1}, "exclude each other"),
    ],
)
def test_settings_that_contradict_themselves(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BrfkitError, match=says):
        AudioSettings(**settings)


def test_folders_that_hold_no_classes(tmp_path: Path) -> None:
    with pytest.raises(BrfkitError, match="holds no class; recordings lie in one folder per class"):
        load(str(tmp_path))
    write(tmp_path / "one" / "a_0.wav", tone(200))
    with pytest.raises(BrfkitError, match="only one class, 'one'"):
        load(str(tmp_path))
    (tmp_path / "two").mkdir()
    with pytest.raises(BrfkitError, match=r"two holds no \.wav files"):
        load(str(tmp_path))
    write(tmp_path / "two" / "a_0.wav", tone(200))
    (tmp_path / "testing_list.txt").write_text("two/b_0.wav\n")
    with pytest.raises(BrfkitError, match=r"names 'two/b_0\.wav', which is not in the folder"):
        load(str(tmp_path))
    with pytest.raises(BrfkitError, match="no folder of recordings"):
        load("tones", audio=AudioSettings())
    with pytest.raises(BrfkitError, match="take no binning"):
        load(str(tmp_path), binning="full")


def test_configuration_keeps_the_settings(folder: Path) -> None:
    data = DataConfig(dataset=str(folder), front_end="cochlea", bands=6, test_speakers=("cy",), threshold=0.02)
    config = Config(data=data)
    again = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert get_audio(again.data) == AudioSettings("cochlea", bands=6, test_speakers=("cy",), threshold=0.02)
    assert load_dataset(again.data, seed=0).channels == 6
    with pytest.raises(BrfkitError, match=r"data\.coefficients has no effect unless the front end is mfcc"):
        check_used(config, {"data": {"coefficients": 3}})
    with pytest.raises(BrfkitError, match=r"data\.bands has no effect unless the data set is a folder"):
        check_used(Config(), {"data": {"bands": 3}})


def test_description(folder: Path) -> None:
    spec = dataset_spec(str(folder))
    assert (spec.channels, spec.class_names, spec.notes) == (13, ("high", "low"), "3 speakers: ann, bob_b, cy")
    found = describe(str(folder))
    assert found.samples == {"train": 24}
    assert found.bytes == sum(path.stat().st_size for path in folder.rglob("*.wav"))


def test_a_run_remembers_its_front_end(folder: Path, tmp_path: Path) -> None:
    options = ["--front-end", "cochlea", "--bands", "12", "--test-speakers", "cy", "--validation", "speakers"]
    run = str(tmp_path / "run")
    trained = CliRunner().invoke(
        cli,
        [
            "train",
            "--dataset",
            str(folder),
            *options,
            "--hidden",
            "8",
            "--epochs",
            "2",
            "--backend",
            "torch",
            "--run-dir",
            run,
            "--json",
        ],
    )
    assert trained.exit_code == 0, trained.output
    evaluated = CliRunner().invoke(cli, ["evaluate", run, "--backend", "torch", "--json"])
    assert evaluated.exit_code == 0, evaluated.output
    first, second = (json.loads(result.stdout) for result in (trained, evaluated))
    assert second["samples"] == 8
    assert second["accuracy"] == pytest.approx(first["test_accuracy"])
    for word, frequency in PITCH.items():
        write(tmp_path / "others" / word / "dora_0.wav", tone(frequency))
    other = CliRunner().invoke(
        cli,
        ["evaluate", run, "--dataset", str(tmp_path / "others"), "--split", "train", "--backend", "torch", "--json"],
    )
    assert other.exit_code == 0, other.output
    assert json.loads(other.stdout)["samples"] == 2  # through 12 cochlear bands, not the default front end
