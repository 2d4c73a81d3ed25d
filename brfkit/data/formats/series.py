"""Series of text files as named arrays: ``.ts`` files of the UCR and UEA archives, and CSV tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.streams import read_bytes

Named: TypeAlias = "dict[str, NDArray[Any]]"

PARTS = ("train", "valid", "test")
SAMPLE, LABEL, PART, GROUP = "sample", "label", "part", "group"
_MAX_BYTES = 1 << 31


@dataclass(frozen=True, eq=False)
class _Series:
    """One sample: values [T, I], its class or the class of each step, by name, and its group."""

    values: NDArray[np.float64]
    labels: tuple[str, ...]
    group: int | None = None


def read_ts(path: Path) -> Named:
    """A ``.ts`` file of the UCR and UEA archives; ``NAME_TEST.ts`` beside ``NAME_TRAIN.ts`` is its test part.

    Dimensions of a case are separated by ``:``, values by ``,``, and the last field is the class. Cases of different
    length are padded with zeros.

    Raises:
        BrfkitError: the file cannot be read, has timestamps or no classes, or a line that does not fit the others.
    """
    classes, cases = _read_ts(path)
    parts = {"train": cases}
    if path.stem.endswith("_TRAIN"):
        test = path.with_name(f"{path.stem.removesuffix('_TRAIN')}_TEST{path.suffix}")
        if test.exists():
            other, parts["test"] = _read_ts(test)
            if other != classes:
                raise BrfkitError(f"{test} has the classes {' '.join(other)}, {path.name} has {' '.join(classes)}")
    return _named(parts, classes, path)


def _read_ts(path: Path) -> tuple[tuple[str, ...], list[_Series]]:
    classes: tuple[str, ...] | None = None
    lines = enumerate(_text(path).splitlines(), 1)
    for number, line in lines:
        words = line.split()
        key = words[0].lower() if words else "#"
        if key == "@data":
            break
        if key == "@timestamps" and words[1:2] != ["false"]:
            raise BrfkitError(f"{path}: line {number}: series with timestamps are not read; resample them to steps")
        if key == "@classlabel" and words[1:2] == ["true"]:
            classes = tuple(words[2:])
        if not key.startswith(("@", "#")):
            raise BrfkitError(f"{path}: line {number} stands before @data and begins with neither @ nor #")
    else:
        raise BrfkitError(f"{path} has no line @data; it is no .ts file")
    if not classes or len(set(classes)) < len(classes):
        raise BrfkitError(f"{path} names no classes, or one twice; '@classLabel true a b' does")
    cases = []
    for number, line in lines:
        if line.strip() and not line.startswith("#"):
            *dimensions, name = line.strip().split(":")
            if name.strip() not in classes:
                raise BrfkitError(f"{path}: line {number} ends with {name.strip()[:40]!r}, none of {' '.join(classes)}")
            cases.append(_Series(_dimensions(dimensions, f"{path}: line {number}"), (name.strip(),)))
    if not cases:
        raise BrfkitError(f"{path} holds no series")
    return classes, cases


def _dimensions(dimensions: Sequence[str], where: str) -> NDArray[np.float64]:
    if not dimensions:
        raise BrfkitError(f"{where} holds no series")
    columns = [_numbers(text.split(","), where) for text in dimensions]
    if len({len(column) for column in columns}) > 1:
        raise BrfkitError(f"{where}: its dimensions have {', '.join(str(len(c)) for c in columns)} values")
    return np.column_stack(columns)


def _numbers(texts: Sequence[str], where: str) -> NDArray[np.float64]:
    try:
        values = np.array([float(text) for text in texts])
    except ValueError:
        bad = next(text for text in texts if not _is_number(text))
        what = "a missing value" if bad.strip() == "?" else "no number"
        raise BrfkitError(f"{where}: {bad.strip()[:40]!r} is {what}") from None
    if not np.isfinite(values).all():
        raise BrfkitError(f"{where} holds values that are not finite")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_csv(path: Path) -> Named:
    """A table with a line for each step.

    The first line names the columns: ``sample`` (steps of one sample have the same value and follow each other),
    ``label`` (a class by name or number; where it changes within a sample, every step has its own), and if wanted
    ``part`` (train, valid or test) and ``group`` (an integer); all others are channels. Samples of different length
    are padded with zeros.

    Raises:
        BrfkitError: the file cannot be read, lacks a column, or a line does not fit.
    """
    rows = csv.reader(io.StringIO(_text(path)))
    try:
        header = [name.strip() for name in next(rows, [])]
        for name in (SAMPLE, LABEL):
            if header.count(name) != 1:
                raise BrfkitError(f"{path}: the first line must name the column {name!r} once; docs/data.md shows how")
        channels = [n for n, name in enumerate(header) if name not in (SAMPLE, LABEL, PART, GROUP)]
        if not channels or len(set(header)) < len(header):
            raise BrfkitError(f"{path}: the first line must name at least one channel, and no column twice")
        parts: dict[str, list[_Series]] = {}
        for name, series in _samples(path, rows, header, channels):
            parts.setdefault(name, []).append(series)
    except csv.Error as error:
        raise BrfkitError(f"{path}: no readable CSV file ({error})") from None
    if "train" not in parts:
        raise BrfkitError(f"{path} holds no training samples")
    names = {label for cases in parts.values() for case in cases for label in case.labels}
    numeric = all(name.isdecimal() for name in names)
    return _named(parts, tuple(sorted(names, key=int if numeric else str)), path)


def _samples(
    path: Path, rows: Iterator[list[str]], header: list[str], channels: list[int]
) -> Iterator[tuple[str, _Series]]:
    """Part and series of each sample."""
    at = {name: header.index(name) for name in (SAMPLE, LABEL, PART, GROUP) if name in header}
    values: list[NDArray[np.float64]] = []
    labels: list[str] = []
    seen: set[str] = set()
    current: tuple[str, ...] | None = None
    for number, row in enumerate(rows, 2):
        where = f"{path}: line {number}"
        if not row:
            continue
        if len(row) != len(header):
            raise BrfkitError(f"{where} has {len(row)} fields, the first line has {len(header)}")
        key = tuple(row[at[name]].strip() if name in at else "" for name in (SAMPLE, PART, GROUP))
        if key != current:
            if current is not None:
                yield _sample(current, values, labels, path)
            if key[0] in seen:
                raise BrfkitError(f"{where}: sample {key[0][:40]!r} goes on here, or has another part or group")
            seen.add(key[0])
            current, values, labels = key, [], []
        values.append(_numbers([row[n] for n in channels], where))
        labels.append(row[at[LABEL]].strip())
        if not labels[-1]:
            raise BrfkitError(f"{where} has no label")
    if current is not None:
        yield _sample(current, values, labels, path)


def _sample(
    key: tuple[str, ...], values: list[NDArray[np.float64]], labels: list[str], path: Path
) -> tuple[str, _Series]:
    name, part, group = key
    if part not in ("", *PARTS):
        raise BrfkitError(f"{path}: sample {name[:40]!r} is of part {part[:40]!r}, none of {', '.join(PARTS)}")
    if group and not group.lstrip("-").isdecimal():
        raise BrfkitError(f"{path}: sample {name[:40]!r} has the group {group[:40]!r}, which is no integer")
    own = tuple(labels) if len(set(labels)) > 1 else (labels[0],)
    return part or "train", _Series(np.array(values), own, int(group) if group else None)


def _named(parts: Mapping[str, Sequence[_Series]], classes: tuple[str, ...], path: Path) -> Named:
    """The arrays of a custom data set (docs/data.md), with the lengths where these differ."""
    every = [case for cases in parts.values() for case in cases]
    channels = {case.values.shape[1] for case in every}
    if len(channels) > 1:
        raise BrfkitError(f"{path}: its series have {' and '.join(map(str, sorted(channels)))} channels")
    steps = max(len(case.values) for case in every)
    number = {name: n for n, name in enumerate(classes)}
    per_step = any(len(case.labels) > 1 for case in every)
    named: Named = {"class_names": np.array(classes)}
    for part, cases in parts.items():
        x = np.zeros((len(cases), steps, every[0].values.shape[1]))
        y = np.zeros((len(cases), steps), np.int64)
        for n, case in enumerate(cases):
            x[n, : len(case.values)] = case.values
            own = np.array([number[name] for name in case.labels])
            y[n, : len(case.values)] = own
            y[n, len(case.values) :] = own[-1]
        named |= {f"x_{part}": x, f"y_{part}": y if per_step else y[:, 0]}
        lengths = np.array([len(case.values) for case in cases])
        if any(len(case.values) < steps for case in every):
            named[f"lengths_{part}"] = lengths
        groups = [case.group for case in cases if case.group is not None]
        if len(groups) == len(cases):
            named[f"groups_{part}"] = np.array(groups)
    return named


def _text(path: Path) -> str:
    try:
        return bytes(read_bytes(path, _MAX_BYTES)).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BrfkitError(f"{path} is not UTF-8 text") from None
