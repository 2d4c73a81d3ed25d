"""What recordings a folder holds: class, speaker and part of each, from names alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brfkit.data.audio.settings import SPEAKER_PATTERN, AudioSettings
from brfkit.errors import BrfkitError
from brfkit.io.streams import readable

LISTS = (("test", "testing_list.txt"), ("valid", "validation_list.txt"))
_PARTS = ("train", "valid", "test")
_MAX_LIST = 1 << 26


@dataclass(frozen=True)
class Recording:
    """One file.

    Attributes:
        name: path below the folder, with ``/``.
        label: class.
        speaker: None where the name does not say.
        part: ``train``, ``valid`` or ``test``.
    """

    name: str
    label: int
    speaker: str | None
    part: str = "train"


def find_recordings(root: Path, settings: AudioSettings) -> tuple[tuple[str, ...], tuple[Recording, ...]]:
    """The class names and the recordings of a folder, in the order of their names.

    Args:
        root: holds ``<class>/*.wav``, or ``train/<class>/*.wav`` and ``test/<class>/*.wav``, also ``valid``. Names that
            begin with ``.`` or ``_`` are passed over. Where nothing else divides the recordings,
            ``testing_list.txt`` and ``validation_list.txt`` (the lists of Google Speech Commands) do.
        settings: pattern of speakers, and what is the test part.

    Raises:
        BrfkitError: there are no recordings or only one class, names do not follow the pattern, or the test part
            cannot be made.
    """
    divided = all((root / part).is_dir() for part in ("train", "test"))
    tops = [part for part in _PARTS if (root / part).is_dir()] if divided else [""]
    found = {top: _classes(root / top) for top in tops}
    names = tuple(sorted({name for classes in found.values() for name in classes}))
    if len(names) < 2:
        what = f"only one class, {names[0]!r}" if names else "no class"
        raise BrfkitError(f"{root} holds {what}; recordings lie in one folder per class, <class>/*.wav")
    label = {name: n for n, name in enumerate(names)}
    listed = [
        Recording("/".join(filter(None, (top, name, file))), label[name], None, top or "train")
        for top, classes in found.items()
        for name, files in sorted(classes.items())
        for file in files
    ]
    spoken = _with_speakers(root, listed, settings)
    return names, tuple(_divided(root, spoken, settings, divided))


def _classes(folder: Path) -> dict[str, list[str]]:
    """The WAV files of each folder in `folder`."""
    found = {}
    for name in _entries(folder):
        if (folder / name).is_dir():
            found[name] = [file for file in _entries(folder / name) if file.lower().endswith(".wav")]
            if not found[name]:
                raise BrfkitError(f"{folder / name} holds no .wav files; every folder in {folder} is a class")
    return found


def _entries(folder: Path) -> list[str]:
    with readable(folder):
        names = sorted(path.name for path in folder.iterdir())
    for name in names:
        if not name.isprintable():
            raise BrfkitError(f"{folder} holds the name {name!r}, which cannot be printed; rename it")
    return [name for name in names if name[0] not in "._"]


def _with_speakers(root: Path, recordings: list[Recording], settings: AudioSettings) -> list[Recording]:
    expression = settings.speaker_expression()
    spoken = []
    for one in recordings:
        found = expression.fullmatch(one.name.rsplit("/", 1)[-1][:-4])
        if found is None:
            if settings.speaker_pattern is None and not settings.test_speakers:
                return recordings  # nobody has said that names tell speakers
            pattern = settings.speaker_pattern or SPEAKER_PATTERN
            raise BrfkitError(f"{root / one.name} does not follow the pattern {pattern!r} of speakers")
        spoken.append(replace(one, speaker=found["speaker"]))
    return spoken


def _divided(root: Path, recordings: list[Recording], settings: AudioSettings, divided: bool) -> list[Recording]:
    if divided:
        if settings.test_speakers or settings.test_fraction is not None:
            raise BrfkitError(f"{root} has a test part already, the folder test; leave the other division out")
        return recordings
    if settings.test_speakers:
        return _by_speaker(root, recordings, settings.test_speakers)
    if settings.test_fraction is not None:
        return _at_random(root, recordings, settings.test_fraction, settings.test_seed)
    for part, name in LISTS:
        if (root / name).exists():
            chosen = _listed(root / name, {one.name for one in recordings})
            recordings = [replace(one, part=part) if one.name in chosen else one for one in recordings]
    return recordings


def _by_speaker(root: Path, recordings: list[Recording], chosen: Sequence[str]) -> list[Recording]:
    speakers = sorted({str(one.speaker) for one in recordings})
    for name in chosen:
        if name not in speakers:
            some = ", ".join(speakers[:10]) + (f" and {len(speakers) - 10} more" if len(speakers) > 10 else "")
            raise BrfkitError(f"{root} has no speaker {name!r}; it has {some}")
    if set(speakers) == set(chosen):
        raise BrfkitError(f"{root}: all speakers are in the test part, none is left for training")
    return [replace(one, part="test") if one.speaker in chosen else one for one in recordings]


def _at_random(root: Path, recordings: list[Recording], fraction: float, seed: int) -> list[Recording]:
    count = max(1, int(fraction * len(recordings)))
    if not 0 < fraction < 1 or count >= len(recordings):
        raise BrfkitError(f"{root}: a test fraction of {fraction:g} leaves no recordings for training or for the test")
    chosen = set(np.random.default_rng(seed).permutation(len(recordings))[:count].tolist())
    return [replace(one, part="test") if n in chosen else one for n, one in enumerate(recordings)]


def _listed(path: Path, names: set[str]) -> set[str]:
    """The names in a list of recordings, one a line."""
    with readable(path):
        if path.stat().st_size > _MAX_LIST:
            raise BrfkitError(f"{path} is too large for a list of recordings")
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    chosen = {line.strip() for line in lines if line.strip()}
    missing = chosen - names
    if missing:
        raise BrfkitError(f"{path} names {min(missing)[:80]!r}, which is not in the folder")
    return chosen
