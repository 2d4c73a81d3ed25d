"""The reader of the published checkpoints: what it takes over, what it refuses, and that damage never gets past it."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from brfkit.analysis.network.evaluate import evaluate
from brfkit.checkpoints.published import is_published, read_published
from brfkit.errors import BrfkitError

REFERENCE = os.environ.get("BRFKIT_REFERENCE_DIR")
UNITS, INPUTS, OUTPUTS = 4, 3, 2
MUTATIONS = 400


def state_dict(kind: str = "omega") -> OrderedDict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    names = ("omega", "b_offset") if kind == "omega" else ("tau_mem", "tau_adp")
    return OrderedDict(
        {f"hidden.{name}": draw(UNITS) for name in names}
        | {"hidden.linear.weight": draw(UNITS, INPUTS + UNITS), "out.tau_mem": draw(OUTPUTS)}
        | {"out.linear.weight": draw(OUTPUTS, UNITS)}
    )


def save(path: Path, state: object, **more: object) -> Path:
    torch.save({"epoch": 7, "model_state_dict": state, "optimizer_state_dict": {}, "loss": 0.5} | more, path)
    return path


def refusal(path: Path, neuron: str | None = "brf") -> str:
    with pytest.raises(BrfkitError) as caught:
        read_published(path, neuron)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(("neuron", "readout"), [("brf", "li"), ("rf", "li"), ("bhrf", "li-sigmoid")])
def test_tensors_become_weights_by_name(tmp_path, neuron, readout):
    state = state_dict()
    network, weights, meta = read_published(save(tmp_path / "net.pt", state), neuron, dt=0.02)
    assert [layer.neuron for layer in network.layers] == [neuron, readout]
    assert (network.inputs, network.layers[0].units, network.outputs, network.dt) == (INPUTS, UNITS, OUTPUTS, 0.02)
    joint = state["hidden.linear.weight"].numpy()
    np.testing.assert_array_equal(weights["hidden0.w_in"], joint[:, :INPUTS])
    np.testing.assert_array_equal(weights["hidden0.w_rec"], joint[:, INPUTS:])
    for name, key in (("hidden0.omega", "hidden.omega"), ("hidden0.b_offset", "hidden.b_offset")):
        np.testing.assert_array_equal(weights[name], state[key].numpy())
    np.testing.assert_array_equal(weights["readout.w_in"], state["out.linear.weight"].numpy())
    np.testing.assert_array_equal(weights["readout.tau_mem"], state["out.tau_mem"].numpy())
    assert all(w.dtype == np.float32 and w.flags["C_CONTIGUOUS"] and w.flags["WRITEABLE"] for w in weights.values())
    assert meta == {"epoch": 7, "loss": 0.5}


def test_alif_is_recognised_and_needs_no_neuron(tmp_path):
    state = state_dict("tau")
    path = save(tmp_path / "net.pt", state)
    network, weights, _ = read_published(path)
    assert network.layers[0].neuron == "alif"
    np.testing.assert_array_equal(weights["hidden0.tau_adp"], state["hidden.tau_adp"].numpy())
    assert read_published(path, "alif")[0] == network
    assert "--neuron alif" in refusal(path, "brf")


@pytest.mark.parametrize("neuron", [None, "alif", "nonsense"])
def test_omega_files_need_a_neuron_that_has_omega(tmp_path, neuron):
    assert "--neuron brf|rf|bhrf" in refusal(save(tmp_path / "net.pt", state_dict()), neuron)


def test_mask_is_multiplied_in_and_biases_are_kept(tmp_path):
    state = state_dict()
    mask = (torch.arange(UNITS * (INPUTS + UNITS)).reshape(UNITS, -1) % 3 > 0).double()
    state["hidden.linear.mask"] = mask
    state["hidden.linear.bias"] = torch.arange(UNITS, dtype=torch.float32)
    state["out.linear.bias"] = torch.arange(OUTPUTS, dtype=torch.float32)
    network, weights, _ = read_published(save(tmp_path / "net.pt", state), "brf")
    joint = np.hstack([weights["hidden0.w_in"], weights["hidden0.w_rec"]])
    np.testing.assert_array_equal(joint, (state["hidden.linear.weight"] * mask).numpy())
    assert [layer.bias for layer in network.layers] == [True, True]
    np.testing.assert_array_equal(weights["hidden0.bias"], np.arange(UNITS))
    np.testing.assert_array_equal(weights["readout.bias"], np.arange(OUTPUTS))


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("hidden.omega", None, "missing"),
        ("hidden.omega", torch.ones(UNITS + 1), r"shape (5,), not (4,)"),
        ("hidden.omega", torch.full((UNITS,), torch.nan), "not finite"),
        ("hidden.omega", torch.full((UNITS,), 1e300, dtype=torch.float64), "not finite"),
        ("hidden.omega", torch.ones(UNITS, dtype=torch.int64), "floating-point"),
        ("hidden.omega", torch.ones(UNITS, dtype=torch.complex64), "floating-point"),
        ("hidden.omega", torch.ones(UNITS).to_sparse(), "dense"),
        ("hidden.omega", [1.0] * UNITS, "not a tensor"),
        ("hidden.omega", torch.ones(1).expand(10**15), "claims the shape"),
        ("hidden.linear.weight", torch.ones(UNITS, UNITS), "no input channel"),
        ("hidden.linear.weight", torch.ones(UNITS), "matrix"),
        ("hidden.linear.weight", torch.ones(0, 3), "matrix"),
        ("hidden.linear.mask", torch.ones(UNITS, INPUTS), "shape"),
        ("out.linear.weight", torch.ones(OUTPUTS, UNITS + 1), "shape"),
        ("out.tau_mem", torch.ones(OUTPUTS, 1), "shape"),
        ("hidden.tau_mem", torch.ones(UNITS), "does not belong"),
        ("hidden2.omega", torch.ones(UNITS), "does not belong"),
    ],
)
def test_wrong_tensors_are_named(tmp_path, key, value, complaint):
    state = state_dict()
    if value is None:
        del state[key]
    else:
        state[key] = value
    message = refusal(save(tmp_path / "net.pt", state))
    assert complaint in message
    assert key in message


def test_a_mask_that_leaves_the_range_of_float32_is_refused(tmp_path):
    state = state_dict() | {"hidden.linear.mask": torch.full((UNITS, INPUTS + UNITS), 3e38)}
    state["hidden.linear.weight"] *= 1e3
    assert "not finite" in refusal(save(tmp_path / "net.pt", state))


@pytest.mark.parametrize("more", [{"epoch": "seven"}, {"epoch": -1}, {"loss": float("nan")}, {"loss": [1]}])
def test_wrong_training_state_is_refused(tmp_path, more):
    assert next(iter(more)) in refusal(save(tmp_path / "net.pt", state_dict(), **more))


@pytest.mark.parametrize("content", [[1, 2], {}, {"model_state_dict": 3}, {"model_state_dict": {1: 2}}, state_dict()])
def test_other_torch_files_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "net.pt")
    refusal(tmp_path / "net.pt")


class Payload:
    """Unpickling it would create a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return (Path.touch, (self.witness,))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_not_executed(tmp_path, legacy):
    witness = tmp_path / "witness"
    content = {"model_state_dict": state_dict(), "epoch": Payload(witness)}
    torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    refusal(tmp_path / "net.pt")
    assert not witness.exists()
    torch.load(tmp_path / "net.pt", weights_only=False)
    assert witness.exists(), "the file was harmless, so this test showed nothing"


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "net.pt"
    refusal(path)  # missing
    refusal(tmp_path)  # a folder
    for content in (b"", b"PK\x03\x04", b"nonsense" * 100, pickle.dumps({"a": 1}, 2), pickle.dumps({"a": 1}, 4)):
        path.write_bytes(content)
        refusal(path)
    np.savez(tmp_path / "net.npz", a=np.ones(3))
    refusal(tmp_path / "net.npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**6)
    assert "compressed" in refusal(path)


def test_is_published_tells_torch_files_from_others(tmp_path):
    path = save(tmp_path / "net.pt", state_dict())
    assert is_published(path)
    torch.save({}, path, _use_new_zipfile_serialization=False)
    assert is_published(path)
    np.savez(tmp_path / "net.npz", a=np.ones(3))
    (tmp_path / "text").write_text("PK")
    for other in ("net.npz", "text", "missing", "."):
        assert not is_published(tmp_path / other)


def test_torch_is_imported_only_when_a_file_is_read():
    code = "import sys, brfkit.checkpoints.published, brfkit.checkpoints.native; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    start = int(rng.integers(len(out)))
    length = int(rng.integers(1, 40))
    match rng.choice(["truncate", "flip", "bytes", "insert", "zero", "remove", "header", "swap"]):
        case "truncate":
            del out[start:]
        case "flip":
            out[start] ^= 1 << int(rng.integers(8))
        case "bytes":
            out[start : start + length] = rng.bytes(len(out[start : start + length]))
        case "insert":
            out[start:start] = rng.bytes(length)
        case "zero":
            out[start : start + length] = bytes(len(out[start : start + length]))
        case "remove":
            del out[start : start + length]
        case "header":  # the first bytes and the central directory at the end
            position = start % 64 if rng.integers(2) else len(out) - 1 - start % min(400, len(out))
            out[position] = int(rng.integers(256))
        case "swap":
            out[start : start + 8] = out[-8:]
    return bytes(out)


def repack(data: bytes, rng: np.random.Generator, suffix: str) -> bytes:
    """One member mutated under a right checksum, as only a writer with intent or a bug would leave it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        chosen = [n for n in source.namelist() if n.endswith(suffix)] if rng.integers(3) else source.namelist()
        victim = str(rng.choice(chosen))
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, mutate(content, rng) if name == victim and content else content)
    return buffer.getvalue()


def test_damaged_files_are_refused_in_one_line_or_load_unchanged(tmp_path):
    original = save(tmp_path / "good.pt", state_dict())
    data = original.read_bytes()
    _, expected, _ = read_published(original, "brf")
    path = tmp_path / "bad.pt"
    rng = np.random.default_rng(2024)
    messages = []
    for index in range(MUTATIONS):
        path.write_bytes(mutate(data, rng))
        try:
            _, weights, _ = read_published(path, "brf")
        except BrfkitError as error:
            messages.append(str(error))
            continue
        for name, value in expected.items():
            np.testing.assert_array_equal(weights[name], value, err_msg=str(index))
    assert not [message for message in messages if "\n" in message]
    assert len(messages) > MUTATIONS // 2


def test_wrong_content_under_right_checksums_loads_or_is_refused_in_one_line(tmp_path):
    data = save(tmp_path / "good.pt", state_dict()).read_bytes()
    path = tmp_path / "bad.pt"
    rng = np.random.default_rng(7)
    messages = []
    for _ in range(MUTATIONS):
        path.write_bytes(repack(data, rng, "data.pkl"))
        try:
            network, weights, meta = read_published(path, "brf")
        except BrfkitError as error:
            messages.append(str(error))
            continue
        network.check(weights)
        json.dumps(meta, allow_nan=False)
    assert not [message for message in messages if "\n" in message]
    assert len(messages) > MUTATIONS // 2


@pytest.mark.parametrize("name", ["ecg_brf", "ecg_alif", "smnist_brf", "smnist_alif"])
def test_checkpoints_of_the_authors(name):
    if not REFERENCE:
        pytest.skip("BRFKIT_REFERENCE_DIR does not point to the published checkpoints")
    path = Path(REFERENCE) / "checkpoints" / f"{name}.pt"
    task, neuron = name.split("_")
    network, weights, meta = read_published(path, neuron)
    sizes = (network.inputs, network.layers[0].units, network.outputs)
    assert sizes == {"ecg": (4, 36, 6), "smnist": (1, 256, 10)}[task]
    content = torch.load(path, map_location="cpu", weights_only=True)
    assert meta == {"epoch": content["epoch"], "loss": content["loss"]}
    state = content["model_state_dict"]
    joint = (state["hidden.linear.weight"] * state["hidden.linear.mask"]).numpy()
    np.testing.assert_array_equal(np.hstack([weights["hidden0.w_in"], weights["hidden0.w_rec"]]), joint)
    for parameter in network.layers[0].spec.parameters:
        np.testing.assert_array_equal(weights[f"hidden0.{parameter.name}"], state[f"hidden.{parameter.name}"].numpy())
    if name == "smnist_brf":
        assert network.parameter_count() == 68_874


def test_only_values_of_a_torch_file_are_handed_on(tmp_path, monkeypatch):
    """With constants.pkl beside them, torch before 2.6 takes the file for a program and runs it."""
    path = save(tmp_path / "net.pt", state_dict())
    with zipfile.ZipFile(path, "a") as archive:
        folder = archive.namelist()[0].split("/")[0]
        for name in ("constants.pkl", "code/__torch__.py", ".data/serialization_id_more", "data/../x", "extra/a"):
            archive.writestr(f"{folder}/{name}", b"x")
    seen = []
    genuine = torch.load

    def load(stream, **options):
        seen.extend(zipfile.ZipFile(stream).namelist())
        stream.seek(0)
        return genuine(stream, **options)

    monkeypatch.setattr(torch, "load", load)
    read_published(path, "brf")
    assert {name.split("/")[1] for name in seen} == {"data.pkl", "data", "byteorder", "version"}
    assert all(name.split("/")[2].isdigit() for name in seen if name.startswith("archive/data/"))


@pytest.mark.slow
def test_a_network_with_its_own_permutation_in_a_torch_file(reference_dir, data_dir):
    folder = reference_dir / "checkpoints-reproduction"
    found = evaluate(
        folder / "psmnist_brf.pt", dataset="psmnist", neuron="brf", permutation=folder / "psmnist_brf_permutation.pt",
        limit_test=2000, data_dir=data_dir,
    )  # fmt: skip
    assert round(found.accuracy, 1) == 90.7
