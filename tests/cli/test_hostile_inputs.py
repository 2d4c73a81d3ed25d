"""Small files that claim to be huge, inputs that are no files, and a disk that fills."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from brfkit.analysis.landscape.store import read_surface
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.io.documents import parse_json, parse_toml
from brfkit.memory import available_bytes, check_memory, peak_bytes
from tests.fuzz.formats import Bench

from .conftest import environment

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _bounds() -> None:
    """Every refusal here is quick and takes next to no memory."""
    before, began = peak_bytes() or 0, time.process_time()
    yield
    assert time.process_time() - began < 20
    assert (peak_bytes() or 0) < before + GIB // 2


def zeros(path: Path, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Adds a packed array of zeros to an archive without ever holding it."""
    header = np.lib.format.header_data_from_array_1_0(np.zeros(0, dtype)) | {"shape": shape}
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    block = bytes(1 << 24)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as out,
    ):
        np.lib.format.write_array_header_1_0(out, header)
        for _ in range(size >> 24):
            out.write(block)


def test_zeros_that_unpack_to_gibibytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brfkit.io.packing._DENSE_BYTES", 1 << 24)  # a gibibyte takes seconds to be packed
    path = tmp_path / "a.npz"
    zeros(path, "x_train", (1 << 3, 1 << 10, 1 << 11), "f4")  # 64 MiB
    assert path.stat().st_size < 1 << 19
    with pytest.raises(BrfkitError, match="nearly all of it the same; store such data as events"):
        load(str(path))


def test_zeros_that_unpack_to_gibibytes_in_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x_train", (1 << 8, 1 << 10, 1 << 12), "f4", chunks=(1, 1 << 10, 1 << 12),
                                   compression="gzip")  # fmt: skip
        packed = b"".join([b"x", b"\x01"])
        for n in range(1 << 8):
            data.id.write_direct_chunk((n, 0, 0), packed)
        file["y_train"] = np.zeros(1 << 8, int)
    with pytest.raises(BrfkitError, match="declares"):
        load(str(path))


def test_events_that_are_next_to_nothing_but_steps(reference_dir: Path) -> None:
    path = reference_dir / "damaged" / "ev_bomb.npz"
    with pytest.raises(BrfkitError, match=r"ev_bomb\.npz: .* next to nothing but empty steps"):
        load(str(path), splits=("train",))


def test_one_label_that_makes_a_hundred_thousand_classes(reference_dir: Path) -> None:
    with pytest.raises(BrfkitError, match=r"label|class"):
        load(str(reference_dir / "damaged" / "label.npz"))


@pytest.mark.parametrize(("points", "dtype"), [(20_000, "f8"), (5, "S200000000"), (1_000_000, "f8")])
def test_surfaces_that_claim_to_be_huge(tmp_path: Path, points: int, dtype: str) -> None:
    bench = Bench("HDF5, surface", tmp_path)
    (path,) = bench.files
    with h5py.File(path, "r+") as file:
        if dtype == "f8":
            file.attrs["settings"] = str(file.attrs["settings"]).replace('"points": 4', f'"points": {points}')
            for name in ("loss", "accuracy", "spikes_per_sample"):
                del file[name]
                file.create_dataset(name, (points, points), "f8", chunks=(16, 16), compression="gzip")
        else:
            del file["done"]
            file.create_dataset("done", (4, 4), dtype, chunks=(4, 4), compression="gzip")
    with pytest.raises(BrfkitError, match="is damaged: "):
        read_surface(path)


def test_a_key_of_many_parts_and_deep_documents() -> None:
    with pytest.raises(BrfkitError, match="line 2 has a key of more than 32 parts"):
        parse_toml("a = 1\n" + ".".join(["k"] * 50_000) + " = 1\n")
    with pytest.raises(BrfkitError, match="key of more than 32 parts"):
        parse_toml("[" + ".".join(['"k"'] * 50_000) + "]\n")
    assert parse_toml("a = [" + ", ".join(["0.5"] * 1000) + "]\nb.c.d = 1\n")["b"] == {"c": {"d": 1}}
    for text in ("[" * 100_000, '{"a":' * 100_000, '{"a":' * 40 + "1" + "}" * 40):
        with pytest.raises(BrfkitError, match="nested more than 32 deep"):
            parse_json(text, "it")
    with pytest.raises(BrfkitError, match="nested"):
        parse_toml("a = " + "[" * 5000 + "]" * 5000)


INPUTS = {
    "checkpoint": ("evaluate", "{}", "--dataset", "tones"),
    "published": ("evaluate", "{}.pt", "--dataset", "ecg", "--neuron", "brf"),
    "surface": ("landscape", "{}.h5"),
    "data": ("data", "info", "{}.npz"),
    "series": ("data", "info", "{}.ts"),
    "table": ("data", "info", "{}.csv"),
    "spikes": ("data", "info", "{}.h5"),
    "neuron": ("neurons", "{}.py"),
    "study": ("sweep", "run", "./{}.toml"),
    "settings": ("train", "--config", "{}.toml"),
    "stimulus": ("simulate", "--neuron", "brf", "--omega", "10", "--stimulus", "{}.npy"),
    "text": ("simulate", "--neuron", "brf", "--omega", "10", "--stimulus", "{}.csv"),
    "sound": ("spectrogram", "{}.wav"),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_pipes_are_refused_and_not_waited_for(kind: str, command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [a.format("pipe") for a in INPUTS[kind]]
    os.mkfifo(tmp_path / next(a for a in arguments if "pipe" in a))
    outcome = command(*arguments)
    assert outcome.code == 1, outcome.err
    assert outcome.err.startswith("Error: ")
    assert "unexpected" not in outcome.err
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["checkpoint", "published", "surface", "data", "sound"])
def test_devices_are_refused_and_not_read(kind: str, command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [a.format("zero") for a in INPUTS[kind]]
    (tmp_path / next(a for a in arguments if a.startswith("zero"))).symlink_to("/dev/zero")
    outcome = command(*arguments)
    assert outcome.code == 1, outcome.err
    assert "unexpected" not in outcome.err


FULL = """
import resource, sys
import numpy as np
from brfkit.errors import BrfkitError
from brfkit.io.hdf5_writing import written_hdf5
for limit in (0, 100, 2048, 30_000, 300_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with written_hdf5(sys.argv[1]) as (file, disk):
            data = file.create_dataset("x", (0,), "f8", maxshape=(None,), chunks=(1000,), fletcher32=True)
            for k in range(50):
                data.resize((len(data) + 1000,))
                data[-1000:] = k
            file["y/z"] = np.arange(5)
    except BrfkitError as error:
        print(error)
"""


def test_hdf5_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "a.h5")], capture_output=True, text=True,
        env=environment(), timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{tmp_path / 'a.h5'} cannot be written: File too large"] * 5
    assert not list(tmp_path.iterdir())


def test_memory_that_is_left_follows_the_limit_of_the_address_space() -> None:
    code = (
        "import resource; from brfkit.memory import available_bytes, status_bytes; "
        "resource.setrlimit(resource.RLIMIT_AS, (status_bytes('VmSize') + (1 << 28),) * 2); print(available_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert 1 << 27 < int(done.stdout) <= 1 << 28


def test_what_does_not_fit_is_refused_before_it_is_taken() -> None:
    free = available_bytes()
    assert free is not None
    assert free > 0
    check_memory(free // 4, "this")
    with pytest.raises(BrfkitError, match=r"this needs .* GiB of memory, .* are free; take less"):
        check_memory(4 * free + GIB, "this", "take less")
