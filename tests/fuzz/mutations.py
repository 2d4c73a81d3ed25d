"""Damage done on purpose: to bytes, to JSON values, to arrays, to the members of an archive, to HDF5 objects."""

from __future__ import annotations

import copy
import io
import json
import struct
import zipfile
from typing import Any

import h5py
import numpy as np

Rng = np.random.Generator

EXTREMES = [0, 1, 4, 7, 8, 0x7F, 0x80, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF]
NUMBERS = [np.nan, np.inf, -np.inf, -1.0, 0.0, 0.5, 1e-300, 1e300, -1e308, 2.0**31, 2.0**63, 700.0, 65535.0]
TEXTS = [
    "", " ", "\x1b[2J", "\x1b]0;owned\x07", "a\0b", "[red]x[/]", "<script>", "$_{", "=1+1", "\u202egnp", "ω",
    "ä" * 3000,
    "../../etc/passwd", "-1", "nan", "a\nb", "tones", "lstm", "brf", "1e999", "\ud800",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3.5, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, float("nan"), float("inf"), [], {},
    [[]], {"a": 1}, ["uniform", 2, 1], ["uniform", "a", 1], ["normal", 0, -1], [1, 2, 3], [10**11],
]  # fmt: skip


def damaged_bytes(content: bytes, rng: Rng) -> bytes:
    """One to four damages; half of them near the beginning, where sizes and types stand."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        reach = min(len(data), 256) if rng.random() < 0.5 else len(data)
        at = int(rng.integers(0, max(reach, 1)))
        kind = rng.integers(8)
        if kind == 0:
            del data[at:]
        elif kind == 1 and data:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            data[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 20))]
        elif kind == 4:
            at -= at % 4
            order = "<" if rng.random() < 0.5 else ">"
            data[at : at + 4] = struct.pack(order + "I", EXTREMES[rng.integers(len(EXTREMES))])
        elif kind == 5:
            data[at : at + 16] = bytes(16)
        elif kind == 6 and len(data) > 32:
            other = int(rng.integers(0, len(data) - 16))
            data[at : at + 16], data[other : other + 16] = data[other : other + 16], data[at : at + 16]
        else:
            data += data[at : at + int(rng.integers(1, 400))]
    return bytes(data)


def odd_value(rng: Rng) -> Any:
    """A value that no setting expects: of another kind, huge, not finite, nested, text that is no word."""
    kind = rng.random()
    if kind < 0.15:
        nested: Any = 1
        for _ in range(int(rng.choice([3, 40, 200]))):
            nested = [nested] if rng.random() < 0.5 else {"a": nested}
        return nested
    pool = TEXTS if kind < 0.5 else VALUES
    return copy.deepcopy(pool[rng.integers(len(pool))])


def damaged_values(document: Any, rng: Rng) -> Any:
    """A JSON document with one to three values replaced, left out, renamed or swapped."""
    changed = json.loads(json.dumps(document))
    for _ in range(rng.integers(1, 4)):
        places = list(_places(changed))
        if not places:
            break
        inside, key = places[rng.integers(len(places))]
        kind = rng.integers(6)
        if kind == 0:
            del inside[key]
        elif kind == 1 and isinstance(inside, dict):
            inside[TEXTS[rng.integers(len(TEXTS))]] = inside.pop(key)
        elif kind == 2:
            other, other_key = places[rng.integers(len(places))]
            inside[key] = json.loads(json.dumps(other[other_key]))
        else:
            inside[key] = odd_value(rng)
    return changed


def _places(value: Any) -> Any:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def damaged_json(text: bytes, rng: Rng) -> bytes:
    """JSON text with damaged values, keys that are there twice, or damaged bytes."""
    kind = rng.random()
    if kind < 0.25:
        return damaged_bytes(text, rng)
    if kind < 0.3:
        return b"[" * int(rng.integers(1, 50_000)) if rng.random() < 0.5 else b'{"a":' * int(rng.integers(1, 50_000))
    changed = json.dumps(damaged_values(json.loads(text), rng))
    if kind < 0.4 and changed.startswith('{"'):
        changed = "{" + changed[1:-1] + ", " + changed[1:]
    return changed.encode("utf-8", "surrogatepass")


def odd_array(array: np.ndarray, rng: Rng) -> np.ndarray:
    """The array with another type, shape, order or value; some of these are all right."""
    kind = rng.integers(9)
    if array.dtype.kind not in "biuf":
        return np.zeros(3) if kind < 4 else array[:0] if array.ndim else np.array(b"\x1b[2J{")
    if kind == 0 and array.ndim:
        return array[:: -1 if rng.random() < 0.5 else 2]
    if kind == 1:
        with np.errstate(all="ignore"):
            return array.astype(rng.choice(["i1", "u2", "f2", "f8", ">f4", "i8", "c8", "?", "S3", "U2", "m8[s]"]))
    if kind in (2, 3):
        with np.errstate(all="ignore"):
            changed = array.astype(float)
            if changed.size:
                changed.flat[rng.integers(changed.size)] = rng.choice(NUMBERS)
            return changed.astype(array.dtype) if rng.random() < 0.7 else changed
    if kind == 4:
        return array[..., None]
    if kind == 5:
        return array.ravel()[: rng.integers(3)]
    if kind == 6:
        return rng.permutation(array) if array.ndim else array
    if kind == 7:
        return np.zeros(rng.integers(0, 4, int(rng.integers(0, 4))))
    return np.concatenate([array.ravel(), array.ravel()])


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
    return stream.getvalue()


def damaged_npy(content: bytes, rng: Rng) -> bytes:
    """A ``.npy`` file with another array in it, another header, or damaged bytes."""
    kind = rng.random()
    if kind < 0.4:
        return npy(odd_array(np.load(io.BytesIO(content)), rng))
    if kind < 0.7:
        header = bytes(content[:128])
        old, new = [
            (b"'<f4'", b"'<f8'"), (b"'<f8'", b"'|O' "), (b"(", b"(9999999999, "), (b"False", b"True "), (b"<", b">"),
            (b"shape", b"shapf"), (b"'descr'", b"'desc\x1b'"), (b")", b", -1)"), (b",)", b",1000000000000)"),
            (b"'<i8'", b"'|V8'"), (b"'<i8'", b"'S2000000000'"), (b"{", b"{" * 40),
        ][rng.integers(12)]  # fmt: skip
        return header.replace(old, new, 1)[:128].ljust(128) + content[128:]
    return damaged_bytes(content, rng)


def damaged_zip(content: bytes, rng: Rng) -> bytes:
    """An archive with damaged members under right checksums, members that are missing, twice, packed or added; or with
    damaged bytes."""
    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    for _ in range(rng.integers(1, 3)):
        if not members:
            break
        at = int(rng.integers(len(members)))
        name, data = members[at]
        kind = rng.integers(8)
        if kind == 0:
            del members[at]
        elif kind == 1:
            members.append((name, data))
        elif kind == 2:
            members[at] = (f"{TEXTS[rng.integers(len(TEXTS) - 1)]}{name}", data)
        elif kind == 3:
            members.append((f"{name}.more", data))
        else:
            members[at] = (name, _damaged_member(name, data, rng))
    buffer = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, how)
    return buffer.getvalue()


def _damaged_member(name: str, data: bytes, rng: Rng) -> bytes:
    if not name.endswith(".npy"):
        return damaged_bytes(data, rng)
    try:
        if name == "meta.npy" and rng.random() < 0.9:
            text = np.load(io.BytesIO(data)).item()
            return npy(np.array(damaged_json(text, rng)))
        return damaged_npy(data, rng)
    except Exception:  # it was damaged before, and NumPy raises many kinds
        return damaged_bytes(data, rng)


def damaged_hdf5(content: bytes, rng: Rng) -> bytes:
    """An HDF5 file with odd arrays, attributes, links and groups in it, or with damaged bytes."""
    if rng.random() < 0.4:
        return damaged_bytes(content, rng)
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        names: list[str] = []
        spoiled: set[str] = set()
        file.visit(names.append)
        for _ in range(rng.integers(1, 3)):
            name = names[int(rng.integers(len(names)))]
            if name.split("/")[0] in spoiled:
                continue
            spoiled.add(name.split("/")[0])
            if file.get(name, getclass=True) is None or not isinstance(file.get(name, getlink=True), h5py.HardLink):
                continue
            if len(file.attrs) and rng.random() < 0.4:
                _change_attribute(file, rng)
            else:
                _change_object(file, name, rng)
    return stream.getvalue()


def _change_attribute(file: h5py.File, rng: Rng) -> None:
    key = list(file.attrs)[rng.integers(len(file.attrs))]
    value = file.attrs[key]
    if isinstance(value, str) and value.startswith("{"):
        text = damaged_json(value.encode(), rng)[:60_000]
        file.attrs[key] = np.bytes_(text) if rng.random() < 0.2 else text.decode("utf-8", "replace").replace("\0", "")
        return
    kind = rng.integers(5)
    if kind == 0:
        del file.attrs[key]
    elif kind == 1:
        file.attrs[key] = TEXTS[rng.integers(len(TEXTS) - 1)].replace("\0", "")
    elif kind == 2:
        file.attrs[key] = rng.choice(NUMBERS)
    elif kind == 3:
        file.attrs[key] = np.arange(5)
    else:
        file.attrs[key] = h5py.Empty("f4")


def _change_object(file: h5py.File, name: str, rng: Rng) -> None:
    found = file[name]
    kind = rng.integers(7)
    array = found[()] if isinstance(found, h5py.Dataset) and found.dtype.kind in "biuf" and found.shape else None
    del file[name]
    if kind == 0:
        return
    if kind == 1:
        file.create_group(name)
    elif kind == 2:
        file[name] = h5py.ExternalLink("/etc/passwd", "/x") if rng.random() < 0.5 else h5py.SoftLink(f"/{name}")
    elif kind == 3:
        shape = [(1 << 40,), (200_000, 200_000), (0, 5), ()][rng.integers(4)]
        file.create_dataset(name, shape, "f4", chunks=None if shape == () or 0 in shape else True)
    elif kind == 4:
        file.create_dataset(name, (10_000, 5_000), "u1", compression="gzip", chunks=(10_000, 500), fillvalue=1)
    elif array is not None:
        changed = odd_array(np.asarray(array), rng)
        file[name] = changed.astype("S") if changed.dtype.kind in "Um" else changed
    else:
        file[name] = np.array([b"\x1b[2J", b"b"])


def damaged_text(content: bytes, rng: Rng) -> bytes:
    """Text with cells, lines and marks exchanged, or with damaged bytes."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    lines = content.decode().split("\n")
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(lines)))
        kind = rng.integers(6)
        odd = str(odd_value(rng) if rng.random() < 0.6 else rng.choice(NUMBERS))[:5000]
        if kind == 0:
            del lines[at]
            lines = lines or [""]
        elif kind == 1:
            lines.insert(at, lines[at])
        elif kind == 2:
            lines.insert(at, odd)
        elif kind == 3:
            lines[at] = lines[at].replace(str(rng.choice([",", "=", "[", "]", '"', "."])), odd[:20], 1)
        elif kind == 4:
            head, mark, _ = lines[at].partition("=")
            lines[at] = f"{head}{mark} {odd}" if mark else f"{lines[at]},{odd}"
        else:
            cells = lines[at].split(",")
            cells[rng.integers(len(cells))] = odd
            lines[at] = ",".join(cells)
    return "\n".join(lines).encode("utf-8", "replace")
