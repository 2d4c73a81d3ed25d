"""Directions keep the norms of the weights, points are plain evaluations, and the command keeps its contract."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np
import pytest

from brfkit.analysis.landscape.directions import Directions, moving_weights, random_directions
from brfkit.analysis.landscape.pca import REACH, pca_directions
from brfkit.analysis.landscape.prepare import SurfaceRequest, prepare
from brfkit.analysis.landscape.run import landscape, summarise
from brfkit.analysis.landscape.store import read_surface
from brfkit.backends import get_backend
from brfkit.checkpoints.native import Checkpoint, save_checkpoint
from brfkit.cli import run
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.network import recurrent_network
from brfkit.runs.config import Config
from brfkit.trained import load as trained

ONE = {"threads": 1, "backend": "numba"}


@pytest.fixture(scope="module")
def network():
    return recurrent_network(4, (8,), 10, "brf")


@pytest.fixture(scope="module")
def weights(network):
    made = network.initialise(1)
    made["hidden0.w_in"] *= 30.0
    return made


@pytest.fixture(scope="module")
def run_dir(network, weights, tmp_path_factory):
    """A run of the embedded data with five kept epochs, the last of which is its best."""
    folder = tmp_path_factory.mktemp("run")
    config = Config.from_dict({"data": {"dataset": "tones"}, "network": {"neuron": "brf"}})
    save_checkpoint(folder / "best.npz", Checkpoint(network, weights, {"config": config.to_dict()}))
    (folder / "weights").mkdir()
    rng = np.random.default_rng(3)
    for epoch in range(5):
        kept = {n: (w + (4 - epoch) * 0.1 * rng.normal(size=w.shape)).astype(np.float32) for n, w in weights.items()}
        np.savez(folder / "weights" / f"epoch-{epoch:04d}.npz", **kept)
    return str(folder)


def test_rows_keep_their_norm(network, weights):
    found = random_directions(network, weights, "weights", seed=0)
    assert found.names == ("hidden0.w_in", "hidden0.w_rec")
    for vector in found.vectors:
        for name, value in vector.items():
            wanted = np.linalg.norm(weights[name].astype(np.float64), axis=1)
            np.testing.assert_allclose(np.linalg.norm(value, axis=1), wanted, rtol=1e-12)
    first, second = (np.concatenate([v.ravel() for v in vector.values()]) for vector in found.vectors)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert abs(cosine) < 5 / np.sqrt(first.size)  # drawn independently: about 1/√N of either sign


def test_vectors_keep_their_norm_and_are_not_frozen(network, weights):
    found = random_directions(network, weights, "all", seed=0)
    assert set(found.names) == set(network.shapes())
    for name in ("hidden0.omega", "hidden0.b_offset", "readout.tau_mem"):
        value = found.vectors[0][name]
        assert np.linalg.norm(value) == pytest.approx(np.linalg.norm(weights[name].astype(np.float64)), rel=1e-12)
        assert len(np.unique(np.abs(value / weights[name]))) == len(value)


def test_a_direction_depends_on_seed_number_and_name_alone(network, weights):
    all_of_it = random_directions(network, weights, "all", seed=5)
    part = random_directions(network, weights, "omega,w_rec", seed=5, count=1)
    assert part.names == ("hidden0.w_rec", "hidden0.omega")
    for name in part.names:
        np.testing.assert_array_equal(part.vectors[0][name], all_of_it.vectors[0][name])
    other = random_directions(network, weights, "all", seed=6)
    assert not np.array_equal(other.vectors[0]["hidden0.w_in"], all_of_it.vectors[0]["hidden0.w_in"])


def test_a_direction_is_this_one(network):
    """Surfaces of the same seed are the same in every version."""
    ones = {name: np.ones(shape) for name, shape in network.shapes().items()}
    found = random_directions(network, ones, "omega", seed=0).vectors[0]["hidden0.omega"]
    rng = np.random.default_rng([0, 0, *b"hidden0.omega"])
    drawn = rng.standard_normal(8)
    np.testing.assert_allclose(found, drawn * np.sqrt(8) / np.linalg.norm(drawn), rtol=1e-12)


def test_parameters_by_name(network):
    deep = recurrent_network(4, (8, 6), 10, "alif", bias=True)
    assert moving_weights(deep, "weights") == ("hidden0.w_in", "hidden0.w_rec", "hidden1.w_in", "hidden1.w_rec")
    assert moving_weights(deep, "hidden1.tau_mem, bias") == ("hidden0.bias", "hidden1.bias", "hidden1.tau_mem")
    with pytest.raises(BrfkitError, match=r"no weight 'omega'.*tau_mem"):
        moving_weights(deep, "omega")
    zero = deep.initialise(0)
    with pytest.raises(BrfkitError, match="all 0"):
        random_directions(deep, zero, "bias", 0)


def test_a_row_of_zeros_stays(network, weights):
    some = weights | {"hidden0.w_in": weights["hidden0.w_in"].copy()}
    some["hidden0.w_in"][2] = 0
    found = random_directions(network, some, "w_in", 0).vectors[0]["hidden0.w_in"]
    assert not found[2].any()
    assert found[[0, 1, 3]].all()


def test_points_are_added_in_float64_and_rounded_once(network, weights):
    found = random_directions(network, weights, "omega", 0)
    moved = found.point(weights, (0.3, -0.7), np.float32)
    first, second = (vector["hidden0.omega"] for vector in found.vectors)
    wanted = weights["hidden0.omega"].astype(np.float64) + 0.3 * first + -0.7 * second
    np.testing.assert_array_equal(moved["hidden0.omega"], wanted.astype(np.float32))
    for name, value in found.point(weights, (0.0, 0.0), np.float32).items():
        np.testing.assert_array_equal(value, weights[name])


def test_a_flat_trajectory_lies_in_its_plane(network, weights, rng):
    names = moving_weights(network, "all")
    first, second = ({n: rng.normal(size=s) for n, s in network.shapes().items()} for _ in range(2))
    centre = {n: w.astype(np.float64) for n, w in weights.items()}
    places = {1: (5.0, 1.0), 4: (3.0, -1.0), 9: (-1.0, 0.2), 12: (0.0, 0.0)}
    run = {e: {n: centre[n] + a * first[n] + b * second[n] for n in names} for e, (a, b) in places.items()}
    found = pca_directions(centre, run, names)
    np.testing.assert_array_equal(found.epochs, [1, 4, 9, 12])
    assert sum(found.shares) == pytest.approx(1, abs=1e-12)
    assert found.shares[0] > found.shares[1]
    np.testing.assert_allclose(np.abs(found.path).max(0), REACH)
    for place, epoch in zip(found.path, found.epochs, strict=True):
        for name, value in found.point(centre, place, np.float64).items():
            np.testing.assert_allclose(value, run[epoch][name], atol=1e-9)
    product = sum((found.vectors[0][n] * found.vectors[1][n]).sum() for n in names)
    assert abs(product) < 1e-9
    with pytest.raises(BrfkitError, match="do not span 2"):
        pca_directions(centre, {0: run[1], 1: run[1]}, names)


def test_every_point_is_a_plain_evaluation(run_dir, tmp_path, rng):
    """Also away from the centre, for even and odd grids, and whatever the blocks."""
    options = {"samples": 12, "points": 6, "parameters": "all", **ONE}
    found = landscape(run_dir, out=tmp_path / "a.h5", block=5, **options)
    ready = prepare(trained(run_dir), SurfaceRequest(**options))
    directions = ready.directions()
    split = load("tones", splits=("test",), limit_test=12).test
    surface = found.surface
    for index in [*rng.choice(36, 8, replace=False), 36]:
        at = surface.coordinates(int(index))
        moved = directions.point(ready.centre, at, np.float32)
        plain = evaluate(ready.setup.network, moved, split, ready.setup.task, get_backend("numba", threads=1))
        assert surface.values[0, index] == plain.loss
        assert surface.values[1, index] == plain.accuracy
        assert surface.values[2, index] == plain.spikes_per_sample
        if index < 36:
            row, column = divmod(int(index), 6)
            assert at == (surface.alpha[row], surface.beta[column])
            assert surface.grid("loss")[row, column] == plain.loss
    assert surface.coordinates(36) == (0.0, 0.0)


def test_the_centre_is_brfkit_evaluate(run_dir, command_json):
    plain = command_json("evaluate", run_dir, "--limit-test", "12", "--threads", "1")
    for points in ("2", "3"):
        found = command_json("landscape", run_dir, "--samples", "12", "--points", points, "--threads", "1")
        assert found["loss_center"] == plain["loss"]
        assert found["accuracy_center"] == plain["accuracy"]


@pytest.fixture
def command_json(capfd):
    def call(*arguments):
        assert run([str(a) for a in arguments] + ["--json"]) == 0
        out, _ = capfd.readouterr()
        assert out.count("\n") == 1
        return json.loads(out)

    return call


CONTRACT = {
    "points", "samples", "loss_min", "loss_max", "loss_center", "roughness", "convex_fraction", "seconds",
    "evaluations_per_second", "out",
}  # fmt: skip


def test_file_and_json_hold_what_is_promised(run_dir, command_json, tmp_path):
    out = tmp_path / "s.h5"
    found = command_json("landscape", run_dir, "--samples", "9", "--points", "5", "--out", out, "--threads", "1")
    assert found.keys() >= CONTRACT
    assert (found["points"], found["samples"], found["out"]) == (5, 9, str(out))
    with h5py.File(out) as file:
        assert {n: file[n].shape for n in ("alpha", "beta", "loss", "accuracy", "spikes_per_sample")} == {
            "alpha": (5,), "beta": (5,), "loss": (5, 5), "accuracy": (5, 5), "spikes_per_sample": (5, 5),
        }  # fmt: skip
        loss = file["loss"][()]
        assert (loss.min(), loss.max()) == (found["loss_min"], found["loss_max"])
        assert file["loss"][2, 2] == found["loss_center"]
        assert file["direction_alpha/hidden0.w_in"].shape == (8, 4)
        for name in ("checkpoint_sha256", "dataset", "seed", "settings"):
            assert name in file.attrs
        assert not any("/" in str(value) for value in file.attrs.values())  # no paths of this machine
    second = command_json("landscape", out, "--radius", "0.25")
    same = CONTRACT - {"seconds", "evaluations_per_second"}
    assert {k: second[k] for k in same} == {k: found[k] for k in same}


def test_slices_several_and_pictures(run_dir, command_json, tmp_path):
    common = ("--samples", "6", "--threads", "1")
    line = command_json("landscape", run_dir, "--slice", "--points", "7", "--out", tmp_path / "l.h5", *common,
                        "--plot", tmp_path / "l.png")  # fmt: skip
    assert line["curvature_center"] is not None
    assert read_surface(tmp_path / "l.h5").grid("loss").shape == (7, 1)
    two = (run_dir, f"{run_dir}/best.npz")
    both = command_json("landscape", *two, "--points", "4", "--out", tmp_path / "s.h5", *common,
                        "--plot", tmp_path / "s.svg", "--show", "accuracy")  # fmt: skip
    files = [one["out"] for one in both["surfaces"]]
    assert len(set(files)) == 2
    surfaces = [read_surface(file) for file in files]
    np.testing.assert_array_equal(surfaces[0].values, surfaces[1].values)
    assert (tmp_path / "s.svg").stat().st_size > 1000
    pca = command_json("landscape", run_dir, "--directions", "pca", "--points", "5", *common, "--log",
                       "--plot", tmp_path / "p.png")  # fmt: skip
    assert len(pca["path_shares"]) == 2


def test_a_page_that_needs_no_network(run_dir, command_json, tmp_path):
    pytest.importorskip("plotly")
    page = tmp_path / "s.html"
    command_json("landscape", run_dir, "--directions", "pca", "--points", "4", "--samples", "5", "--threads", "1",
                 "--html", page)  # fmt: skip
    text = page.read_text()
    assert "epoch 4" in text
    assert not re.search(r"<(script|link)[^>]*(src|href)=", text)


def test_kept_epochs_are_matched(run_dir, command_json):
    common = ("--points", "2", "--samples", "20", "--threads", "1")
    losses = [command_json("landscape", run_dir, "--match-epoch", e, *common)["loss_center"] for e in range(5)]
    assert len(set(losses)) == 5
    found = command_json("landscape", run_dir, "--match-loss", losses[2] + 1e-6, *common)
    assert (found["epoch"], found["loss_center"]) == (2, losses[2])


def test_samples_are_drawn_by_their_seed(run_dir):
    wanted = [SurfaceRequest(samples=30, sample_seed=seed, split="train", **ONE) for seed in (None, 0, 0, 1)]
    drawn = [prepare(trained(run_dir), one) for one in wanted]
    hashes = [one.settings.data_sha256 for one in drawn]
    assert hashes[1] == hashes[2]
    assert len(set(hashes)) == 3
    assert len(drawn[1].setup.split) == 30


def test_a_hessian_on_request(run_dir, command_json):
    found = command_json("landscape", run_dir, "--points", "2", "--samples", "5", "--hessian", "2", "--threads", "1",
                         "--parameters", "omega,b_offset")  # fmt: skip
    assert len(found["hessian_eigenvalues"]) == 2
    assert len(found["hessian_residuals"]) == 2


def test_a_network_that_diverges_away_from_the_centre(run_dir, tmp_path):
    found = landscape(run_dir, out=tmp_path / "s.h5", samples=4, points=5, bound=1e30, **ONE)
    assert found.surface.complete
    assert found.figures.loss_center is not None
    again = summarise(read_surface(tmp_path / "s.h5"))
    assert again.figures == found.figures


WRONG = [
    (["--points", "1"], 2, "points"),
    (["--bound", "0"], 2, "bound"),
    (["--resume"], 2, "--out"),
    (["--out", "a.npz"], 2, "must end in .h5"),
    (["--plot", "a.txt"], 2, "must end in"),
    (["--slice", "--html", "a.html"], 2, "use --plot"),
    (["--neuron", "brf,rf,alif"], 2, "3 neurons for 1"),
    (["--parameters", "omga"], 1, "no weight 'omga'"),
    (["--match-epoch", "99"], 1, "has not kept epoch 99"),
    (["--match-epoch", "1", "--match-loss", "1"], 2, "--match-epoch"),
    (["--sample-seed", "1"], 2, "--samples"),
    (["--hessian", "9999", "--out", "s.h5"], 1, "between 1 and"),
    (["--out", "nowhere/s.h5"], 1, "no folder"),
]


@pytest.mark.parametrize(("options", "code", "words"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_wrong_usage_is_one_line(options, code, words, run_dir, capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(["landscape", run_dir, *options, "--threads", "1"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err.splitlines()[-1], err
    assert not list(tmp_path.iterdir())


def test_kept_weights_that_are_none(run_dir, network, weights, tmp_path, capfd):
    alone = tmp_path / "alone.npz"
    config = Config.from_dict({"data": {"dataset": "tones"}, "network": {"neuron": "brf"}})
    save_checkpoint(alone, Checkpoint(network, weights, {"config": config.to_dict()}))
    assert run(["landscape", str(alone), "--directions", "pca"]) == 1
    assert "--keep-weights" in capfd.readouterr().err
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "epoch-0000.npz").write_bytes(b"PK\x03\x04 damaged")
    assert run(["landscape", str(alone), "--match-epoch", "0"]) == 1
    assert "epoch-0000.npz is damaged" in capfd.readouterr().err


def test_directions_of_another_network_are_refused(network):
    with pytest.raises(BrfkitError, match=r"hidden0\.w_in"):
        Directions(({"hidden0.w_in": np.zeros((3, 3))},)).check(network)
