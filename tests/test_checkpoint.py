"""The project's own checkpoints and the writing of files: nothing lost, nothing half written, no damage let through."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_published import mutate, repack, save, state_dict

from brfkit.checkpoints.native import Checkpoint, load_checkpoint, open_checkpoint, save_checkpoint
from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_path, atomic_write, check_writable
from brfkit.network import recurrent_network

MUTATIONS = 400


@pytest.fixture
def checkpoint() -> Checkpoint:
    network = recurrent_network(3, [4, 5], 2, options={"refractory": False}, dt=0.02, bias=True, surrogate="linear")
    meta = {"epoch": 3, "history": [{"loss": 0.5}, {"loss": 0.25}], "config": {"lr": 0.1, "note": "größer\n"}}
    extra = {
        "adam/step": np.array(7),
        "adam/m": np.arange(6.0).reshape(2, 3).T,
        "rng": np.frombuffer(b"\x00\x01state", np.uint8),
        "empty": np.zeros((0, 3)),
        "bits": np.array([True, False]),
        "names": np.array([b"a", b"bc"]),
    }
    return Checkpoint(network, network.initialise(0), meta, extra)


def rewritten(path: Path, **members: bytes | None) -> Path:
    """The archive with some members replaced, or left out where None; checksums are right."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("__", ".") + ".npy": data for name, data in members.items()}  # type: ignore[misc]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
    return path


def npy(value: object, pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(value), allow_pickle=pickle)
    return stream.getvalue()


def header(value: np.ndarray, shape: bytes) -> bytes:
    data = npy(value)
    old = b"(4,), }".ljust(len(shape))
    assert old in data
    return data.replace(old, shape)


def refusal(path: Path) -> str:
    with pytest.raises(BrfkitError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(tmp_path, checkpoint, dtype):
    weights = {name: value.astype(dtype) for name, value in checkpoint.weights.items()}
    weights["hidden0.w_in"] = np.asfortranarray(weights["hidden0.w_in"])
    save_checkpoint(tmp_path / "last.npz", replace(checkpoint, weights=weights))
    loaded = load_checkpoint(tmp_path / "last.npz")
    assert loaded.network == checkpoint.network
    assert loaded.meta == checkpoint.meta
    assert list(loaded.weights) == list(checkpoint.network.shapes())
    assert loaded.extra.keys() == checkpoint.extra.keys()
    for name, value in {**weights, **checkpoint.extra}.items():
        found = {**loaded.weights, **loaded.extra}[name]
        assert found.dtype == value.dtype
        assert found.flags["WRITEABLE"]
        np.testing.assert_array_equal(found, value)
    assert loaded.sha256 == replace(checkpoint, weights=weights).sha256


def test_numpy_alone_reads_the_file(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "last.npz", checkpoint)
    with np.load(tmp_path / "last.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["hidden1.omega"], checkpoint.weights["hidden1.omega"])
        document = json.loads(file["meta"].item())
    assert document["format"] == "brfkit-checkpoint"
    assert document["network"] == checkpoint.network.to_dict()


def test_identity_follows_network_and_weights_only(checkpoint):
    same = replace(checkpoint, meta={}, extra={}, weights=dict(reversed(checkpoint.weights.items())))
    assert same.sha256 == checkpoint.sha256
    swapped = {name: np.asarray(w, w.dtype.newbyteorder()) for name, w in checkpoint.weights.items()}
    assert replace(checkpoint, weights=swapped).sha256 == checkpoint.sha256
    other = {name: w.copy() for name, w in checkpoint.weights.items()}
    other["readout.w_in"][0, 0] = np.nextafter(other["readout.w_in"][0, 0], np.float32(9))
    assert replace(checkpoint, weights=other).sha256 != checkpoint.sha256
    assert replace(checkpoint, network=replace(checkpoint.network, dt=0.01)).sha256 != checkpoint.sha256


def test_numpy_numbers_and_nan_in_meta_are_kept(tmp_path, checkpoint):
    meta = {"loss": np.float32(0.5), "epochs": np.int64(3), "diverged": float("nan")}
    save_checkpoint(tmp_path / "a.npz", replace(checkpoint, meta=meta))
    loaded = load_checkpoint(tmp_path / "a.npz").meta
    assert (loaded["loss"], loaded["epochs"]) == (0.5, 3)
    assert np.isnan(loaded["diverged"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"meta": {"when": object()}}, "JSON"),
        ({"extra": {"state": np.array([None])}}, "numbers"),
        ({"extra": {"state": [1.0]}}, "numbers"),
        ({"extra": {"state": np.array("text")}}, "numbers"),
        ({"extra": {"a\0b": np.ones(1)}}, "printable"),
        ({"weights": {}}, "missing"),
    ],
)
def test_what_cannot_be_loaded_is_not_saved(tmp_path, checkpoint, change, complaint):
    path = tmp_path / "last.npz"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()
    with pytest.raises(BrfkitError, match=complaint):
        save_checkpoint(path, replace(checkpoint, **change))
    checkpoint.weights["readout.tau_mem"][0] = np.inf
    with pytest.raises(BrfkitError, match="not finite"):
        save_checkpoint(path, checkpoint)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["last.npz"]


def test_wrong_members_are_named(tmp_path, checkpoint):
    path = tmp_path / "a.npz"
    save_checkpoint(path, checkpoint)
    good = path.read_bytes()
    omega = np.ones(4, np.float32)
    document = json.loads(np.load(path)["meta"].item())

    def named(layer: str) -> dict[str, object]:
        layers = [{**document["network"]["layers"][0], "name": layer, "units": 1}]
        return document | {"network": document["network"] | {"layers": layers}}

    cases: list[tuple[str, bytes | None, str]] = [
        ("hidden0__omega", None, "hidden0.omega is missing"),
        ("hidden0__omega", npy(omega[:3]), "shape"),
        ("hidden0__omega", npy(omega * np.nan), "not finite"),
        ("hidden0__omega", npy(omega.astype(np.int32)), "int32"),
        ("hidden0__omega", npy(omega.astype(np.complex128)), "complex128"),
        ("hidden0__omega", npy(np.array([1, None]), pickle=True), "hidden0.omega"),
        ("hidden0__omega", npy(omega)[:-1], "hidden0.omega"),
        ("hidden0__omega", npy(omega) + b"\0\0\0\0", "hidden0.omega"),
        ("hidden0__omega", header(omega, b"(10**14,), }"), "hidden0.omega"),
        ("hidden0__omega", header(omega, b"(10000000000000,), }"), "hidden0.omega"),
        ("extra/rng", None, "extra"),
        ("extra/more", npy(omega), "extra"),
        ("hidden9__omega", npy(omega), "does not belong"),
        ("meta", None, "meta"),
        ("meta", npy(np.ones(3)), "meta"),
        ("meta", npy("{}"), "meta"),
        ("meta", npy(b"{" * 5), "the meta text cannot be read"),
        ("meta", npy(b"[" * 10**5), "the meta text is nested"),
        ("meta", npy(b"3"), "the meta text does not hold keys"),
        ("meta", npy(b"{" + b'"a": ' + b"9" * 5000 + b"}"), "thousands of digits"),
        ("meta", npy(b'{"a": 1, "a": 2}'), "'a' is there twice"),
        ("meta", npy(b'{"a": "\\ud800"}'), "text that is broken"),
        ("meta", npy(b"\xff"), "not UTF-8"),
        ("meta", npy(json.dumps(document | {"format": "other"}).encode()), "damaged"),
        ("meta", npy(json.dumps(document | {"meta": 3}).encode()), "meta is 3"),
        ("meta", npy(json.dumps(document | {"meta": {"config": True}}).encode()), "config is True, not an object"),
        ("meta", npy(json.dumps(document | {"meta": {"rows": [{}]}}).encode()), "row 0 of its metrics has no epoch"),
        ("meta", npy(json.dumps(document | {"version": 99}).encode()), "version 99"),
        ("meta", npy(json.dumps(document | {"extra": 3}).encode()), "extra is 3"),
        ("meta", npy(json.dumps(named("a\nb\x1b[31m")).encode()), "layer 0 of the network"),
        ("meta", npy(json.dumps(document | {"network": []}).encode()), "network"),
        ("meta", npy(json.dumps(document | {"network": document["network"] | {"inputs": 1e999}}).encode()), "network"),
        (
            "meta",
            npy(json.dumps(document | {"network": document["network"] | {"inputs": 10**15}}).encode()),
            "inputs is 1000",
        ),
    ]
    for name, data, complaint in cases:
        path.write_bytes(good)
        assert complaint in refusal(rewritten(path, **{name: data})), (name, data)


def test_weights_of_the_other_byte_order_are_read(tmp_path, checkpoint):
    path = tmp_path / "a.npz"
    save_checkpoint(path, checkpoint)
    omega = checkpoint.weights["hidden0.omega"]
    rewritten(path, hidden0__omega=npy(omega.astype(omega.dtype.newbyteorder())))
    found = load_checkpoint(path).weights["hidden0.omega"]
    assert found.dtype == omega.dtype
    np.testing.assert_array_equal(found, omega)


def test_members_that_are_no_arrays_and_compressed_files_are_refused(tmp_path, checkpoint):
    path = tmp_path / "a.npz"
    save_checkpoint(path, checkpoint)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "x")
    assert "notes.txt" in refusal(path)
    np.savez_compressed(path, a=np.zeros(10**6))
    assert "compressed" in refusal(path)
    refusal(tmp_path / "missing.npz")
    refusal(tmp_path)
    path.write_bytes(b"")
    refusal(path)


def test_damaged_files_are_refused_in_one_line_or_load_unchanged(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "good.npz", checkpoint)
    data = (tmp_path / "good.npz").read_bytes()
    path = tmp_path / "bad.npz"
    rng = np.random.default_rng(11)
    messages = []
    for index in range(MUTATIONS):
        path.write_bytes(mutate(data, rng))
        try:
            loaded = load_checkpoint(path)
        except BrfkitError as error:
            messages.append(str(error))
            continue
        assert loaded.meta == checkpoint.meta, index
        for name, value in {**checkpoint.weights, **checkpoint.extra}.items():
            np.testing.assert_array_equal({**loaded.weights, **loaded.extra}[name], value, err_msg=str(index))
    assert not [message for message in messages if "\n" in message]
    assert len(messages) > MUTATIONS // 2


@pytest.mark.parametrize("suffix", ["meta.npy", "omega.npy"])
def test_wrong_content_under_right_checksums_loads_or_is_refused_in_one_line(tmp_path, checkpoint, suffix):
    save_checkpoint(tmp_path / "good.npz", checkpoint)
    data = (tmp_path / "good.npz").read_bytes()
    path = tmp_path / "bad.npz"
    rng = np.random.default_rng(12)
    messages = []
    for _ in range(MUTATIONS):
        path.write_bytes(repack(data, rng, suffix))
        try:
            loaded = load_checkpoint(path)
        except BrfkitError as error:
            messages.append(str(error))
            continue
        loaded.network.check(loaded.weights)
        json.dumps(loaded.meta)
    assert not [message for message in messages if "\n" in message]
    assert len(messages) > MUTATIONS // 10  # flips in the numbers of a weight or in the history are legal


def test_open_checkpoint_takes_folders_own_files_and_published_ones(tmp_path, checkpoint):
    with pytest.raises(BrfkitError, match="is an empty folder"):
        open_checkpoint(tmp_path)
    save_checkpoint(tmp_path / "last.npz", replace(checkpoint, meta={"which": "last"}))
    assert open_checkpoint(tmp_path).meta == {"which": "last"}
    save_checkpoint(tmp_path / "best.npz", replace(checkpoint, meta={"which": "best"}))
    assert open_checkpoint(tmp_path).meta == {"which": "best"}
    assert open_checkpoint(tmp_path / "last.npz", "brf").meta == {"which": "last"}
    with pytest.raises(BrfkitError, match="leave --neuron out"):
        open_checkpoint(tmp_path, "alif")
    state = state_dict()
    for name in ("published.pt", "published"):
        found = open_checkpoint(save(tmp_path / name, state), "rf")
        assert found.network.layers[0].neuron == "rf"
        assert found.meta == {"published": True, "epoch": 7, "loss": 0.5}
        np.testing.assert_array_equal(torch.from_numpy(found.weights["hidden0.omega"]), state["hidden.omega"])
    with pytest.raises(BrfkitError, match="--neuron brf"):
        open_checkpoint(tmp_path / "published.pt")
    save_checkpoint(tmp_path / "copy.npz", found)
    assert load_checkpoint(tmp_path / "copy.npz").sha256 == found.sha256


def write(path: Path, content: bytes, then: BaseException | None = None, **options: bool) -> None:
    with atomic_write(path, **options) as stream:
        stream.write(content)
        if then is not None:
            raise then


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_atomic_write_leaves_the_old_file_on_failure(tmp_path):
    path = tmp_path / "a.csv"
    with atomic_write(path, "w") as stream:
        stream.write("ω\n")
    assert path.read_bytes() == "ω\n".encode()
    with pytest.raises(BrfkitError, match="--force"):
        write(path, b"new")
    with pytest.raises(KeyboardInterrupt):
        write(path, b"half", KeyboardInterrupt(), force=True)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(BrfkitError, match=r"a\.csv cannot be written: No space left"):
        write(path, b"half", full, force=True)
    with pytest.raises(FileNotFoundError), atomic_write(path, force=True):
        (tmp_path / "another").read_bytes()
    assert path.read_bytes() == "ω\n".encode()
    assert names(tmp_path) == ["a.csv"]


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path, checkpoint):
    resource = pytest.importorskip("resource")
    save_checkpoint(tmp_path / "last.npz", checkpoint)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(BrfkitError, match="cannot be written"):
            save_checkpoint(tmp_path / "last.npz", replace(checkpoint, meta={}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["last.npz"]
    assert load_checkpoint(tmp_path / "last.npz").meta == checkpoint.meta


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a.npz"
    writing = atomic_write(path)
    writing.__enter__().write(b"ours")
    path.write_bytes(b"theirs")
    with pytest.raises(BrfkitError, match="exists"):
        writing.__exit__(None, None, None)
    assert path.read_bytes() == b"theirs"


def test_atomic_path_keeps_the_suffix_links_and_usual_permissions(tmp_path):
    (tmp_path / "link.h5").symlink_to(tmp_path / "real.h5")
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "link.h5") as temporary:
        assert temporary.suffix == ".h5"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"data")
    assert (tmp_path / "link.h5").is_symlink()
    assert (tmp_path / "real.h5").read_bytes() == b"data"
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "real.h5")}
    assert len(modes) == 1


@pytest.mark.parametrize("path", ["missing/a.npz", ".", "/dev/null", "a\0b", "x" * 300])
def test_impossible_places_are_named_before_the_work(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BrfkitError) as caught:
        check_writable(path, force=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(BrfkitError), atomic_write(path, force=True):
        pytest.fail("was opened")
