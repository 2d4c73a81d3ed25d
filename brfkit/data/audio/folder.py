"""A folder of recordings as a data set; docs/data.md describes the folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brfkit.data.audio.features import Features, read_features
from brfkit.data.audio.recordings import Recording, find_recordings
from brfkit.data.audio.settings import AudioSettings
from brfkit.data.base import Dataset, DataSpec, DenseSplit, Request, Split
from brfkit.data.binning import MAX_STEPS, Binning
from brfkit.data.eventcache import Binner
from brfkit.errors import BrfkitError
from brfkit.memory import check_memory

_COVERED = 0.95  # of the recordings, where no duration is given


def load_folder(
    path: Path, settings: AudioSettings | None = None, *, splits: Sequence[str] = ("train", "test")
) -> Dataset:
    """Reads the recordings of a folder.

    Args:
        path: holds one folder of WAV files for each class; see docs/data.md.
        settings: front end and test part; None takes MFCC and what the folder itself says.
        splits: which parts to make.

    Raises:
        BrfkitError: the folder or a recording cannot be read, or lacks a part that is asked for.
    """
    settings = settings or AudioSettings()
    names, recordings = find_recordings(path, settings)
    parts = [part for part in ("train", "valid", "test") if any(one.part == part for one in recordings)]
    for split in splits:
        if split not in parts:
            how = "name speakers (--test-speakers) or draw one (--test-fraction 0.2)" if split == "test" else ""
            raise BrfkitError(f"{path} has no {split} part; " + (how or f"it has {', '.join(parts)}"))
    features = read_features(path, [one.name for one in recordings], settings)
    step, steps = settings.step_seconds(features.rate), _steps(path, features, settings)
    speakers = sorted({one.speaker for one in recordings if one.speaker is not None})
    numbers = {speaker: n for n, speaker in enumerate(speakers)}
    binning = Binning(width=step, steps=steps, late="drop") if settings.spiking else None
    loaded: dict[str, Split] = {}
    for split in splits:
        rows = np.array([n for n, one in enumerate(recordings) if one.part == split])
        y = np.array([recordings[n].label for n in rows], np.int64)
        groups = _groups([recordings[n] for n in rows], numbers)
        if binning is None:
            loaded[split] = DenseSplit(_padded(path, features, rows, steps), y, groups=groups)
        else:
            loaded[split] = _binned(features, rows, settings.channels(), binning).split(y, groups, names)
    spec = DataSpec(
        name=str(path),
        title=f"recordings, {path.name} ({settings.front_end})",
        channels=settings.channels(),
        steps=steps,
        class_names=names,
        labels_per_step=False,
        read=_unreadable,
        licence="unknown",
        citation="",
        splits=tuple(parts),
        samples={part: sum(one.part == part for one in recordings) for part in parts},
        events=settings.spiking,
        step_seconds=step,
        notes=f"{len(speakers)} speakers: {', '.join(speakers[:20])}" if speakers else "",
    )
    return Dataset(spec, loaded, None, binning)


def _unreadable(request: Request) -> Split:
    raise BrfkitError(f"split {request.split} of a folder of recordings is read by load()")


def _steps(path: Path, features: Features, settings: AudioSettings) -> int:
    step = settings.step_seconds(features.rate)
    seconds = settings.duration or float(np.quantile(features.seconds, _COVERED, method="higher"))
    steps = max(1, int(np.ceil(seconds / step - 1e-9)))
    if steps > MAX_STEPS:
        raise BrfkitError(f"{path}: {seconds:g} s are {steps:,} steps; at most {MAX_STEPS:,} are possible")
    return steps


def _groups(recordings: Sequence[Recording], numbers: dict[str, int]) -> NDArray[np.int64] | None:
    if any(one.speaker is None for one in recordings):
        return None
    return np.array([numbers[str(one.speaker)] for one in recordings], np.int64)


def _padded(path: Path, features: Features, rows: NDArray[np.intp], steps: int) -> NDArray[np.float32]:
    """The recordings `rows` as [N, T, I], cut or padded with zeros, their mean, to `steps`."""
    assert features.frames is not None
    shape = (len(rows), steps, features.frames.shape[1])
    check_memory(4 * int(np.prod(shape)), f"{path}: {len(rows):,} recordings of {steps:,} steps", "shorten --duration")
    x = np.zeros(shape, np.float32)
    for n, row in enumerate(rows):
        begin, end = features.offsets[row : row + 2]
        end = min(end, begin + steps)
        x[n, : end - begin] = features.frames[begin:end]
    return x


def _binned(features: Features, rows: NDArray[np.intp], channels: int, binning: Binning) -> Binner:
    assert features.times is not None
    assert features.units is not None
    counts = np.diff(features.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    taken = np.concatenate([np.arange(features.offsets[row], features.offsets[row + 1]) for row in rows])
    binner = Binner(offsets, channels, int(binning.steps or 1), binning)
    for begin, end in binner.portions():
        part = taken[offsets[begin] : offsets[end]]
        binner.add(features.times[part], features.units[part], begin, end)
    return binner
