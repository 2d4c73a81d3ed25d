"""Every format that brfkit reads: sound files to start from, how they are damaged, and what reads them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch

from brfkit.analysis.landscape.directions import Directions
from brfkit.analysis.landscape.run import summarise
from brfkit.analysis.landscape.store import read_surface, write_surface
from brfkit.analysis.landscape.surface import Settings, Surface
from brfkit.analysis.neuron.spectrogram.signal import read_signal
from brfkit.analysis.runs.reading import read_run
from brfkit.checkpoints.lstm import LstmNetwork, load_lstm, save_lstm
from brfkit.checkpoints.native import Checkpoint, open_checkpoint, save_checkpoint
from brfkit.checkpoints.schema import RESUMED, TRAINER
from brfkit.data import load
from brfkit.data.checks import check_trainable
from brfkit.data.ecg import read_ecg
from brfkit.data.mnist import read_digits
from brfkit.data.permutation import time_permutation
from brfkit.io.schema import check_values
from brfkit.network import recurrent_network
from brfkit.runs.config import Config, TrainingConfig
from brfkit.runs.config_files import read_config_file
from brfkit.runs.folder import BEST, CONFIG, LAST, METRICS, PROVENANCE, RESULT, RunFolder, Stored
from brfkit.runs.metrics import Row
from brfkit.runs.resolve import trained_on
from brfkit.simulation.stimulus import read_stimulus
from brfkit.training.optimiser import make_optimizer, optimizer_arrays, restore_optimizer
from tests.data.made import (
    ecg_arrays,
    idx_bytes,
    mnist_arrays,
    own_dense,
    own_events,
    recordings,
    write_own,
    write_recordings,
)
from tests.fuzz import mutations

NETWORK = recurrent_network(4, [3], 2)
Damage = Callable[[bytes, np.random.Generator], bytes]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        bases: makes sound files, by name, in an empty folder; the first is read.
        read: reads a folder with such files; ends with a BrfkitError or a result.
        damage: by suffix of the file that is damaged.
    """

    bases: Callable[[Path], None]
    read: Callable[[Path], Any]
    damage: Mapping[str, Damage]


def _load_own(path: Path) -> None:
    data = load(str(path), splits=("train",))
    check_trainable(data)
    data.train.batch(range(min(4, len(data.train))))


def _checkpoint(path: Path) -> None:
    network = NETWORK
    rows = [Row(0, "test", 1.0, 50.0, 3.0, 0.1).to_values()]
    meta = {"epoch": 0, "config": Config().to_dict(), "rows": rows, "trainer": {"epoch": 0, "optimizer": {}}}
    save_checkpoint(path, Checkpoint(network, network.initialise(0), meta, {"permutation": np.arange(4)}))


def _read_checkpoint(path: Path) -> None:
    checkpoint = open_checkpoint(path)
    trained_on(checkpoint, None)
    assert len(checkpoint.sha256) == 64


def _published(path: Path) -> None:
    draw = torch.Generator().manual_seed(3)
    shapes = {"hidden.linear.weight": (3, 7), "hidden.omega": (3,), "hidden.b_offset": (3,),
              "out.linear.weight": (2, 3), "out.tau_mem": (2,)}  # fmt: skip
    state = {name: torch.randn(*shape, generator=draw) for name, shape in shapes.items()}
    torch.save({"epoch": 7, "model_state_dict": state, "loss": 0.5}, path)


def _weights(folder: Path) -> None:
    RunFolder(folder, Config()).keep_weights(1, NETWORK.initialise(0))


def _settings() -> Settings:
    return Settings(
        checkpoint="tones", checkpoint_sha256="0" * 64, neuron="brf", dataset="tones", data_sha256="1" * 64,
        split="test", samples=20, sample_seed=None, seed=0, points=4, bound=1.0, line=False, directions="pca",
        parameters="weights",
        epoch=None, trajectory_sha256=None, loss_on="every", accuracy_from="mean", skip_steps=0, dtype="float32",
        backend="numba", batch_size=256,
    )  # fmt: skip


def _surface(path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = tuple({"hidden0.w_in": rng.standard_normal((3, 4))} for _ in range(2))
    surface = Surface(_settings(), Directions(vectors, rng.standard_normal((3, 2)), np.arange(3), (0.5, 0.25)))
    surface.put(np.arange(14), np.abs(rng.standard_normal((3, 14))))
    write_surface(path, surface)


def _read_surface(path: Path) -> None:
    found = summarise(read_surface(path))
    json.dumps(found.to_dict())


def _ecg(path: Path) -> None:
    scipy.io.savemat(path, ecg_arrays(1), do_compression=True)


def _damaged_mat(content: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.7:
        return mutations.damaged_bytes(content, rng)
    arrays: dict[str, Any] = dict(ecg_arrays(1))
    name = str(rng.choice(["x", "y"]))
    arrays[name] = mutations.odd_array(arrays[name], rng)
    stream = io.BytesIO()
    try:
        scipy.io.savemat(stream, arrays)
    except (TypeError, ValueError):  # a type that MATLAB has not
        return content[:-1]
    return stream.getvalue()


def _digits(folder: Path) -> None:
    images, labels = mnist_arrays(5)
    (folder / "images").write_bytes(idx_bytes(images))
    (folder / "labels").write_bytes(idx_bytes(labels))


def _wav(path: Path) -> None:
    rng = np.random.default_rng(0)
    scipy.io.wavfile.write(path, 8000, rng.integers(-999, 999, (60, 2)).astype(np.int16))


def _shd(folder: Path) -> None:
    (folder / "shd").mkdir()
    write_recordings(folder / "shd" / "shd_train.h5", recordings(samples=4))


def _read_shd(folder: Path) -> None:
    part = load("shd", data_dir=folder, splits=("train",)).train
    part.batch(range(len(part)))


TOML = """[data]
dataset = "tones"
validation_fraction = 0.2
limit_train = 20

[network]
neuron = "brf"
hidden = [8, 8]
options = { refractory = false }
init = { omega = ["uniform", 5.0, 10.0] }

[training]
epochs = 3
learning_rate = 0.01
clip_norm = 1.0
"""


def _read_config(path: Path) -> None:
    config = Config.from_dict(read_config_file(path))
    assert Config.from_dict(config.to_dict()) == config


def _lstm(path: Path) -> None:
    network = LstmNetwork(3, (2,), 2)
    weights = network.initialise(0)
    parameters = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in weights.values()]
    optimizer = make_optimizer(TrainingConfig(), parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    arrays, plain = optimizer_arrays(optimizer)
    meta = {"epoch": 1, "rows": [], "trainer": {"epoch": 1, "optimizer": plain}}
    save_lstm(path, network, weights, meta, arrays)


def _read_lstm(path: Path) -> None:
    weights, meta, extra = load_lstm(path)
    check_values(meta, RESUMED, "its values")
    check_values(meta["trainer"], TRAINER, "its state", required=("optimizer", "epoch"))
    like = LstmNetwork(3, (2,), 2).initialise(0)
    optimizer = make_optimizer(TrainingConfig(), [torch.nn.Parameter(torch.from_numpy(v)) for v in like.values()])
    restore_optimizer(optimizer, extra, meta["trainer"]["optimizer"])
    assert weights.keys() == weights.keys()


def _run(folder: Path) -> None:
    config = Config()
    run = RunFolder(folder, replace(config, data=replace(config.data, dataset="tones")))
    run.prepare(resume=False, force=True)
    rows = [
        Row(epoch, split, 1.0 / (1 + epoch), 50.0, 3.0, 0.1) for epoch in (0, 1) for split in ("validation", "test")
    ]
    run.write_metrics(rows)
    meta = {"epoch": 1, "config": run.config.to_dict(), "rows": [row.to_values() for row in rows],
            "trainer": {"epoch": 1, "optimizer": {}}}  # fmt: skip
    for name in (BEST, LAST):
        run.save(name, NETWORK, Stored(NETWORK.initialise(0), meta, {}))
    run.write_provenance({"parameters": 40, "backend": "numba", "steps": 250, "channels": 4, "classes": 2,
                          "active_inputs": 10.0, "command": ["brfkit"]})  # fmt: skip
    run.write_result({"epochs": 1, "best_epoch": 1, "test_accuracy": 50.0, "diverged": None, "spikes_by_layer": [3.0]})


def _read_run(folder: Path) -> None:
    # Every part on its own: damage to the first file must not hide what the others make of theirs.
    problems = []
    for part in (read_run, open_checkpoint, lambda f: RunFolder(f).load(LAST), lambda f: RunFolder(f).result()):
        try:
            part(folder)
        except Exception as error:
            problems.append(error)
    for error in sorted(problems, key=lambda e: type(e).__name__ == "BrfkitError"):
        raise error


def _npy(path: Path) -> None:
    np.save(path, np.random.default_rng(0).permutation(20))


def _read_npy(path: Path) -> None:
    time_permutation(path, 0, 20)


def _in(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    return lambda folder: make(folder / name)


def _of(name: str, read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda folder: read(folder / name)


ZIP, HDF5, TEXT, BYTES = (
    mutations.damaged_zip, mutations.damaged_hdf5, mutations.damaged_text, mutations.damaged_bytes,
)  # fmt: skip

FORMATS: dict[str, Format] = {
    "npz, dense data": Format(_in("a.npz", lambda p: write_own(p, own_dense())), _of("a.npz", _load_own), {"": ZIP}),
    "npz, events": Format(_in("a.npz", lambda p: write_own(p, own_events())), _of("a.npz", _load_own), {"": ZIP}),
    "npz, checkpoint": Format(_in("a.npz", _checkpoint), _of("a.npz", _read_checkpoint), {"": ZIP}),
    "npz, LSTM and optimiser": Format(_in("a.npz", _lstm), _of("a.npz", _read_lstm), {"": ZIP}),
    "npz, kept weights": Format(_weights, lambda f: RunFolder(f).kept_weights(1, NETWORK), {"": ZIP}),
    "pt, checkpoint": Format(_in("a.pt", _published), _of("a.pt", lambda p: open_checkpoint(p, "brf")), {"": ZIP}),
    "pt, permutation": Format(
        _in("a.pt", lambda p: torch.save(torch.arange(20), p)), _of("a.pt", _read_npy), {"": ZIP}
    ),
    "npy, permutation": Format(_in("a.npy", _npy), _of("a.npy", _read_npy), {"": mutations.damaged_npy}),
    "npy, stimulus": Format(
        _in("a.npy", lambda p: np.save(p, np.ones((9, 2)))), _of("a.npy", read_stimulus), {"": mutations.damaged_npy}
    ),
    "mat": Format(_in("a.mat", _ecg), _of("a.mat", read_ecg), {"": _damaged_mat}),
    "IDX": Format(_digits, lambda f: read_digits(f / "images", f / "labels"), {"": BYTES}),
    "HDF5, layout of SHD": Format(_shd, _read_shd, {"": HDF5}),
    "HDF5, dense data": Format(_in("a.h5", lambda p: write_own(p, own_dense())), _of("a.h5", _load_own), {"": HDF5}),
    "HDF5, events": Format(_in("a.h5", lambda p: write_own(p, own_events())), _of("a.h5", _load_own), {"": HDF5}),
    "HDF5, surface": Format(_in("a.h5", _surface), _of("a.h5", _read_surface), {"": HDF5}),
    "TOML": Format(_in("a.toml", lambda p: p.write_text(TOML)), _of("a.toml", _read_config), {"": TEXT}),
    "JSON": Format(
        _in("a.json", lambda p: p.write_text(json.dumps(Config().to_dict()))), _of("a.json", _read_config),
        {"": mutations.damaged_json},
    ),
    "CSV": Format(
        _in("a.csv", lambda p: p.write_text("u,v\n" + "1,2.5\n" * 9)), _of("a.csv", read_stimulus), {"": TEXT}
    ),
    "WAV": Format(_in("a.wav", _wav), _of("a.wav", read_signal), {"": BYTES}),
    "run folder": Format(
        _run, _read_run, {".npz": ZIP, ".json": mutations.damaged_json, ".csv": TEXT, "": BYTES},
    ),
}  # fmt: skip

RUN_FILES = (CONFIG, METRICS, PROVENANCE, RESULT, BEST, LAST)


class Bench:
    """A folder in which one format is damaged and read again and again."""

    def __init__(self, name: str, folder: Path) -> None:
        self.format, self.folder = FORMATS[name], folder
        self.format.bases(folder)
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        self.files = [file for file in files if name != "run folder" or file.name in RUN_FILES]
        self.sound = {file: file.read_bytes() for file in files}
        self.format.read(folder)

    def damaged(self, seed: int) -> tuple[Path, bytes]:
        """One file and its damaged content."""
        rng = np.random.default_rng(seed)
        file = self.files[rng.integers(len(self.files))]
        damage = next(how for suffix, how in self.format.damage.items() if file.name.endswith(suffix))
        return file, damage(self.sound[file], rng)

    def read(self, file: Path, content: bytes) -> Any:
        """Reads the folder with the one file damaged, and puts it in order again."""
        file.write_bytes(content)
        try:
            return self.format.read(self.folder)
        finally:
            file.write_bytes(self.sound[file])

    def close(self) -> None:
        shutil.rmtree(self.folder)
