"""Custom data sets: dense arrays, events or series in files. The formats are described in docs/data.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import IGNORED, Dataset, DataSpec, DenseSplit, Request, Split
from brfkit.data.binning import MAX_STEPS, Binning
from brfkit.data.eventcache import Binner
from brfkit.data.formats.named import open_named
from brfkit.data.validation import holdout
from brfkit.errors import BrfkitError
from brfkit.io.arrays import Arrays
from brfkit.io.hdf5 import texts

MAX_CLASSES = 100_000
MAX_CHANNELS = 1 << 20

_PARTS = ("train", "valid", "test")


def load_own(
    path: Path,
    *,
    splits: Sequence[str] = ("train", "test"),
    binning: Binning | None = None,
    test_fraction: float | None = None,
) -> Dataset:
    """Reads a custom data set; see `load` for the arguments and docs/data.md for the format.

    Raises:
        BrfkitError: the file cannot be read, lacks something or contradicts itself; a binning for dense data; a split
            that is not there; a test fraction for data that have a test part.
    """
    with open_named(path) as arrays:
        facts, parts = _read(arrays, path, binning)
    if not facts.events and binning is not None:
        raise BrfkitError(f"{path} holds dense arrays, which take no binning")
    loaded = dict(parts)
    if test_fraction is not None:
        if "test" in loaded:
            raise BrfkitError(f"{path} has a test part already, so no test fraction can be drawn")
        kept, aside = holdout(loaded["train"], test_fraction)
        loaded |= {"train": loaded["train"].select(kept), "test": loaded["train"].select(aside)}
    if "test" in splits and "test" not in loaded:
        raise BrfkitError(
            f"{path} has no test part; add {'times_test' if facts.events else 'x_test'} and y_test, or draw one from "
            "the training part with a test fraction (--test-fraction 0.2)"
        )
    for split in splits:
        if split not in loaded:
            raise BrfkitError(f"{path} has no part {split!r}; it has {', '.join(loaded)}")
    facts = replace(facts, splits=tuple(loaded), samples={name: len(part) for name, part in loaded.items()})
    used = replace(binning or _own_binning(facts, parts), steps=facts.steps) if facts.events else None
    return Dataset(facts, {split: loaded[split] for split in splits}, None, used)


def _own_binning(facts: DataSpec, parts: Mapping[str, Any]) -> Binning:
    return Binning(width=parts["train"].bin_width, steps=facts.steps)


def _read(arrays: Arrays, path: Path, binning: Binning | None) -> tuple[DataSpec, Mapping[str, Split]]:
    x, times = arrays.read("x_train", "number", 3), arrays.read("times_train", "number", 1)
    if (x is None) == (times is None):
        both = "both x_train and times_train" if x is not None else "neither x_train nor times_train"
        raise BrfkitError(f"{path} holds {both}; dense data have the first, events the second (docs/data.md)")
    parts: dict[str, Split]
    if x is not None:
        parts = {name: split for name in _PARTS if (split := _dense(arrays, path, name)) is not None}
        shape = x.shape[1:]
    else:
        parts, shape = _events(arrays, path, binning)
    names = _class_names(arrays, path, parts)
    facts = DataSpec(
        name=str(path),
        title=f"own data, {path.name}",
        channels=shape[1],
        steps=shape[0],
        class_names=names,
        labels_per_step=_per_step(arrays, "train"),
        read=_unreadable,
        licence="unknown",
        citation="",
        events=x is None,
    )
    for name, part in parts.items():
        if isinstance(part, DenseSplit) and part.x.shape[1:] != shape:
            raise BrfkitError(f"{path}: x_{name} has shape {part.x.shape}, x_train has (N, {shape[0]}, {shape[1]})")
        if _per_step(arrays, name) != facts.labels_per_step:
            raise BrfkitError(
                f"{path}: y_{name} has shape {part.y.shape}, y_train {parts['train'].y.shape}; "
                "labels of one kind are needed"
            )
    return facts, parts


def _per_step(arrays: Arrays, part: str) -> bool:
    """Whether the file has a label for each step, and not one for each sample that padding has spread over steps."""
    y = arrays.read(f"y_{part}", "integer")
    return y is not None and y.ndim == 2


def _unreadable(request: Request) -> Split:
    raise BrfkitError(f"split {request.split} of a custom data set is read by load()")


def _labels(
    arrays: Arrays, path: Path, part: str, samples: int, steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    y = arrays.read(f"y_{part}", "integer")
    if y is None:
        raise BrfkitError(f"{path}: there is no y_{part}, the labels")
    if y.shape not in ((samples,), (samples, steps)):
        raise BrfkitError(f"{path}: y_{part} has shape {y.shape}; ({samples},) or ({samples}, {steps}) is needed")
    if samples == 0 or y.size == 0:
        raise BrfkitError(f"{path}: the {part} part holds no samples")
    if y.min() < IGNORED or y.max() >= MAX_CLASSES:
        raise BrfkitError(
            f"{path}: y_{part} holds {y.min()}..{y.max()}; classes are numbered from 0, and -1 is no label"
        )
    y = y.astype(np.int64)
    counted = _counted(arrays, path, part, samples, steps)
    if counted is not None:
        y = np.where(counted, y[:, None] if y.ndim < counted.ndim else y, IGNORED)
    if part == "train" and y.max() < 0:
        raise BrfkitError(f"{path}: no sample of the {part} part has a label that counts")
    groups = arrays.read(f"groups_{part}", "integer", 1)
    if groups is not None and len(groups) != samples:
        raise BrfkitError(f"{path}: groups_{part} has {len(groups)} entries for {samples} samples")
    return y, None if groups is None else groups.astype(np.int64)


def _counted(arrays: Arrays, path: Path, part: str, samples: int, steps: int) -> NDArray[np.bool_] | None:
    """Which samples (N,) or steps (N, T) the mask and the lengths of a part let count; None where it has neither."""
    mask, lengths = arrays.read(f"mask_{part}", "number"), _lengths(arrays, path, part, samples, steps)
    counted = None
    if mask is not None:
        if mask.shape not in ((samples,), (samples, steps)):
            raise BrfkitError(
                f"{path}: mask_{part} has shape {mask.shape}; ({samples},) or ({samples}, {steps}) is needed"
            )
        if not np.isin(mask, (0, 1)).all():
            raise BrfkitError(f"{path}: mask_{part} holds other values than 0 (left out) and 1 (counts)")
        counted = mask != 0
    if lengths is not None:
        inside = np.arange(steps) < lengths[:, None]
        counted = inside if counted is None else inside & (counted[:, None] if counted.ndim == 1 else counted)
    return counted


def _lengths(arrays: Arrays, path: Path, part: str, samples: int, steps: int) -> NDArray[np.int64] | None:
    """The steps (N,) of each sample before its padding."""
    lengths = arrays.read(f"lengths_{part}", "integer", 1)
    if lengths is None:
        return None
    if len(lengths) != samples:
        raise BrfkitError(f"{path}: lengths_{part} has {len(lengths)} entries for {samples} samples")
    if samples and (lengths.min() < 1 or lengths.max() > steps):
        raise BrfkitError(
            f"{path}: lengths_{part} holds {lengths.min()}..{lengths.max()}; 1 to {steps} steps are possible"
        )
    return lengths.astype(np.int64)


def _class_names(arrays: Arrays, path: Path, parts: Mapping[str, Split]) -> tuple[str, ...]:
    most = max(int(part.y.max()) for part in parts.values())
    given = arrays.read("class_names", "text", 1)
    labels = sum(part.y.size for part in parts.values())
    if given is None and most >= max(labels, 2):
        raise BrfkitError(
            f"{path}: the label {most} makes {most + 1} classes, and there are {labels} labels; number the classes "
            "from 0 without gaps, or name them all in class_names"
        )
    names = texts(given, f"{path}: class_names") if given is not None else tuple(map(str, range(most + 1)))
    if most >= len(names):
        raise BrfkitError(f"{path}: there is a label {most} and only {len(names)} class_names")
    return names


def _dense(arrays: Arrays, path: Path, part: str) -> DenseSplit | None:
    x = arrays.read(f"x_{part}", "number", 3)
    if x is None:
        return None
    if 0 in x.shape:
        raise BrfkitError(f"{path}: x_{part} has shape {x.shape}; (samples, steps, channels) is needed, none of them 0")
    lengths = _lengths(arrays, path, part, len(x), x.shape[1])
    if lengths is not None:  # whatever stands in the padding, it is silence
        x = np.where((np.arange(x.shape[1]) < lengths[:, None])[..., None], x, x.dtype.type(0))
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise BrfkitError(f"{path}: x_{part} holds values that are not finite")
    if x.shape[1] > MAX_STEPS or x.shape[2] > MAX_CHANNELS:
        raise BrfkitError(f"{path}: x_{part} has shape {x.shape}; at most {MAX_STEPS} steps are possible")
    y, groups = _labels(arrays, path, part, len(x), x.shape[1])
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    return DenseSplit(x.view(np.uint8) if x.dtype.kind == "b" else x, y, groups=groups)


@dataclass(frozen=True, eq=False)
class _Spikes:
    times: NDArray[Any]
    units: NDArray[Any]
    offsets: NDArray[np.int64]


def _events(arrays: Arrays, path: Path, binning: Binning | None) -> tuple[dict[str, Split], tuple[int, int]]:
    spikes = {part: found for part in _PARTS if (found := _spikes(arrays, path, part)) is not None}
    most = max((int(s.units.max()) for s in spikes.values() if len(s.units)), default=0)
    channels = int(_scalar(arrays, path, "channels", "integer", most + 1))
    if most >= channels or not 1 <= channels <= MAX_CHANNELS:
        raise BrfkitError(f"{path}: there is a unit {most} and channels is {channels}")
    latest = max((float(s.times.max()) for s in spikes.values() if len(s.times)), default=0.0)
    chosen = _complete(binning or _stored_binning(arrays, path), arrays, path, latest)
    steps = chosen.steps_for(latest)
    parts: dict[str, Split] = {}
    for part, found in spikes.items():
        y, groups = _labels(arrays, path, part, len(found.offsets) - 1, steps)
        try:
            binner = Binner(found.offsets, channels, steps, chosen)
        except BrfkitError as error:
            raise BrfkitError(f"{path}: {error}") from None
        for begin, end in binner.portions():
            rows = slice(found.offsets[begin], found.offsets[end])
            binner.add(found.times[rows], found.units[rows], begin, end)
        parts[part] = binner.split(y, groups)
    return parts, (steps, channels)


def _stored_binning(arrays: Arrays, path: Path) -> Binning:
    width = _scalar(arrays, path, "bin_width", "number", None)
    steps = _scalar(arrays, path, "steps", "integer", 0)
    return Binning(width=float(width), steps=int(steps) or None)


def _complete(binning: Binning, arrays: Arrays, path: Path, latest: float) -> Binning:
    """`binning` with enough bins for the latest spike where it leaves their number open."""
    if binning.steps is not None:
        return binning
    # A spike on the last edge needs the bin behind it.
    needed = latest / binning.file_width + 1
    if not needed <= MAX_STEPS:
        raise BrfkitError(
            f"{path}: the last spike at {latest:g} needs more than {MAX_STEPS} bins of {binning.file_width:g}"
        )
    return replace(binning, steps=int(needed + 1e-9))


def _scalar(arrays: Arrays, path: Path, name: str, kind: str, default: int | None) -> float:
    value = arrays.read(name, kind)
    if value is None:
        if default is None:
            raise BrfkitError(f"{path}: there is no {name}; events need it (docs/data.md)")
        return default
    if value.size != 1:
        raise BrfkitError(f"{path}: {name} has shape {value.shape}, a single number is needed")
    number = float(value.reshape(()))
    if not np.isfinite(number) or (kind == "integer" and number < 0):
        raise BrfkitError(f"{path}: {name} is {number:g}, which is impossible")
    return number


def _spikes(arrays: Arrays, path: Path, part: str) -> _Spikes | None:
    times = arrays.read(f"times_{part}", "number", 1)
    if times is None:
        return None
    units, offsets = arrays.read(f"units_{part}", "integer", 1), arrays.read(f"offsets_{part}", "integer", 1)
    if units is None or offsets is None:
        raise BrfkitError(f"{path}: there is no {'units' if units is None else 'offsets'}_{part}")
    if len(units) != len(times):
        raise BrfkitError(f"{path}: {len(times)} times and {len(units)} units in the {part} part")
    offsets = offsets.astype(np.int64)
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(times) or (np.diff(offsets) < 0).any():
        raise BrfkitError(
            f"{path}: offsets_{part} must ascend from 0 to the number of spikes, {len(times)}; samples + 1 numbers"
        )
    if times.dtype.kind != "f":
        times = times.astype(np.float64)
    times = times.astype(times.dtype.newbyteorder("="), copy=False)
    bad = ~(np.isfinite(times) & (times >= 0))
    if bad.any():
        first = int(np.argmax(bad))
        what = "is negative" if np.isfinite(times[first]) else "is not finite"
        raise BrfkitError(f"{path}: times_{part}[{first}] = {times[first]} {what}")
    if len(units) and (units.min() < 0 or units.max() >= MAX_CHANNELS):
        raise BrfkitError(f"{path}: units_{part} holds {units.min()}..{units.max()}; units are numbered from 0")
    return _Spikes(times, units.astype(np.int64), offsets)
