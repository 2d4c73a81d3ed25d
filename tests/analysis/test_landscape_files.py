"""A surface survives whatever happens to the processes that make it, and its bytes do not depend on them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from brfkit.analysis.landscape.run import landscape, summarise
from brfkit.analysis.landscape.store import is_surface, read_surface, write_surface
from brfkit.checkpoints.native import Checkpoint, save_checkpoint
from brfkit.errors import BrfkitError
from brfkit.network import recurrent_network
from brfkit.runs.config import Config
from tests.cli.conftest import environment
from tests.fuzz.formats import FORMATS

SMALL = {"samples": 4, "points": 9, "threads": 1, "backend": "numba"}
OPTIONS = ("--samples", "4", "--threads", "1", "--backend", "numba")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    network = recurrent_network(4, (8,), 10, "brf")
    weights = network.initialise(1)
    weights["hidden0.w_in"] *= 30.0
    config = Config.from_dict({"data": {"dataset": "tones"}, "network": {"neuron": "brf"}})
    path = tmp_path_factory.mktemp("run") / "best.npz"
    save_checkpoint(path, Checkpoint(network, weights, {"config": config.to_dict()}))
    return str(path)


@pytest.fixture(scope="module")
def whole(checkpoint, tmp_path_factory):
    """The surface of 15 x 15 points in one go, and the seconds that its process took."""
    out = tmp_path_factory.mktemp("whole") / "s.h5"
    began = time.monotonic()
    done = started(checkpoint, out).wait(120)
    assert done == 0
    return out.read_bytes(), time.monotonic() - began


def started(checkpoint, out, *more, points=15, **variables):
    """The command in a process of its own; blocks of one point, so that most of the time the file is being written."""
    arguments = (
        "landscape",
        checkpoint,
        *OPTIONS,
        "--points",
        str(points),
        "--block",
        "1",
        "--out",
        str(out),
        "--json",
    )
    return subprocess.Popen(
        [sys.executable, "-m", "brfkit", *arguments, *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, env={**environment(), **variables},
    )  # fmt: skip


def killed_again_and_again(checkpoint, out, whole, times, rng):
    """Kill at random moments and resume until the surface is finished; how many points each attempt left."""
    content, seconds = whole
    counts = []
    for _ in range(times):
        process = started(checkpoint, out, "--resume")
        try:
            process.wait(rng.uniform(0.2, 1.1) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()
        if out.exists():
            counts.append(int(read_surface(out).done.sum()))
            if out.read_bytes() == content:
                out.unlink()  # finished: begin anew
    process = started(checkpoint, out, "--resume")
    assert process.wait(120) == 0, process.stderr.read()
    process.stderr.close()
    return counts


def test_kill_and_resume(checkpoint, whole, tmp_path, rng):
    counts = killed_again_and_again(checkpoint, tmp_path / "s.h5", whole, 2, rng)
    assert (tmp_path / "s.h5").read_bytes() == whole[0]
    assert counts


@pytest.mark.slow
def test_kill_at_twenty_moments(checkpoint, whole, tmp_path, rng):
    counts = killed_again_and_again(checkpoint, tmp_path / "s.h5", whole, 20, rng)
    assert (tmp_path / "s.h5").read_bytes() == whole[0]
    assert any(0 < count < 225 for count in counts)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_leaves_a_surface_that_can_be_read_and_resumed(checkpoint, whole, tmp_path, number):
    out = tmp_path / "s.h5"
    process = started(checkpoint, out)
    while not out.exists() or not read_surface(out).done.sum() > 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume goes on" in err
    assert "Traceback" not in err
    partial = read_surface(out)
    loss = partial.grid("loss")
    assert 3 < partial.done.sum() < 225
    np.testing.assert_array_equal(np.isfinite(loss).ravel(), partial.done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.h5"]
    assert started(checkpoint, out, "--resume").wait(120) == 0
    assert out.read_bytes() == whole[0]


def test_blocks_and_threads_do_not_show(checkpoint, tmp_path):
    made = []
    for number, (block, threads) in enumerate([(1, 1), (7, 1), (81, 2)]):
        out = tmp_path / f"{number}.h5"
        landscape(checkpoint, out=out, block=block, **SMALL | {"threads": threads})
        made.append(out.read_bytes())
    assert made[0] == made[1] == made[2]


class Enough(Exception):
    pass


def stopped_after(checkpoint, out, count, **options):
    """A surface that breaks off when so many points are done."""

    def progress(done, total):
        if done >= count:
            raise Enough

    with pytest.raises(Enough):
        landscape(checkpoint, out=out, block=4, progress=progress, **SMALL | options)


def test_resume_computes_what_is_missing_only(checkpoint, tmp_path):
    out = tmp_path / "s.h5"
    stopped_after(checkpoint, out, 30)
    left = int((~read_surface(out).done).sum())
    assert 81 - 32 <= left <= 81 - 28  # 28 points in whole blocks, the block that was broken off is lost
    assert landscape(checkpoint, out=out, resume=True, **SMALL).evaluations == left
    assert landscape(checkpoint, out=out, resume=True, **SMALL).evaluations == 0


def test_an_even_grid_evaluates_its_centre_first(checkpoint, tmp_path):
    out = tmp_path / "s.h5"
    stopped_after(checkpoint, out, 5, points=8)
    assert np.isfinite(read_surface(out).centre("loss"))
    whole = landscape(checkpoint, out=tmp_path / "w.h5", **SMALL | {"points": 8})
    assert landscape(checkpoint, out=out, resume=True, **SMALL | {"points": 8}).figures == whole.figures
    assert out.read_bytes() == (tmp_path / "w.h5").read_bytes()


OTHER = [
    ({"points": 11}, "points was 9 and is 11 now"),
    ({"bound": 0.5}, "bound was 1.0 and is 0.5 now"),
    ({"samples": 5}, "data_sha256"),
    ({"seed": 1}, "seed was 0 and is 1 now"),
    ({"parameters": "all"}, "parameters was weights and is all now"),
    ({"dtype": "float64"}, "dtype"),
    ({"backend": "reference"}, "backend was numba and is reference now"),
]


@pytest.mark.parametrize(("change", "words"), OTHER, ids=[next(iter(c)) for c, _ in OTHER])
def test_resume_refuses_another_surface(checkpoint, tmp_path, change, words):
    out = tmp_path / "s.h5"
    stopped_after(checkpoint, out, 8)
    before = out.read_bytes()
    with pytest.raises(BrfkitError, match=words):
        landscape(checkpoint, out=out, resume=True, **SMALL | change)
    assert out.read_bytes() == before


def test_resume_refuses_other_weights(checkpoint, tmp_path):
    from brfkit.checkpoints.native import load_checkpoint

    out = tmp_path / "s.h5"
    stopped_after(checkpoint, out, 8)
    loaded = load_checkpoint(checkpoint)
    loaded.weights["hidden0.w_rec"][0, 0] += 1e-3
    save_checkpoint(tmp_path / "other.npz", loaded)
    with pytest.raises(BrfkitError, match="checkpoint_sha256"):
        landscape(str(tmp_path / "other.npz"), out=out, resume=True, **SMALL)


def test_a_surface_that_is_there_is_not_overwritten(checkpoint, tmp_path):
    out = tmp_path / "s.h5"
    out.write_bytes(b"mine")
    with pytest.raises(BrfkitError, match="--force"):
        landscape(checkpoint, out=out, **SMALL)
    with pytest.raises(BrfkitError, match=r"s\.h5"):
        landscape(checkpoint, out=out, resume=True, **SMALL)
    assert out.read_bytes() == b"mine"
    assert landscape(checkpoint, out=out, force=True, **SMALL | {"points": 2}).surface.complete


def test_files_that_are_no_surfaces(checkpoint, tmp_path):
    import h5py

    out = tmp_path / "s.h5"
    surface = landscape(checkpoint, out=out, **SMALL | {"points": 3}).surface
    content = out.read_bytes()
    assert is_surface(out)
    assert not is_surface(tmp_path / "none.h5")
    for damage in ("format", "settings"):
        out.write_bytes(content)
        with h5py.File(out, "r+") as file:
            del file.attrs[damage]
        with pytest.raises(BrfkitError, match=r"s\.h5"):
            read_surface(out)
    for name in ("loss", "done", "centre", "direction_beta"):
        out.write_bytes(content)
        with h5py.File(out, "r+") as file:
            del file[name]
        with pytest.raises(BrfkitError, match="damaged"):
            read_surface(out)
    out.write_bytes(content[: len(content) // 2])
    with pytest.raises(BrfkitError, match=r"s\.h5"):
        read_surface(out)
    write_surface(out, surface, force=True)
    assert out.read_bytes() == content


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def crew(checkpoint, out, size, *more, port, points=15):
    """The processes as torchrun starts them, each with its rank."""
    variables = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(port)}  # fmt: skip
    return [
        started(checkpoint, out, "--worker-timeout", "2", *more, points=points, RANK=str(rank), **variables)
        for rank in range(size)
    ]


def ended(processes):
    results = [process.communicate(timeout=120)[1] for process in processes]
    return [process.returncode for process in processes], results


def test_four_processes_make_the_same_bytes(checkpoint, whole, tmp_path):
    codes, errors = ended(crew(checkpoint, tmp_path / "s.h5", 4, port=free_port()))
    assert codes == [0] * 4, errors
    assert (tmp_path / "s.h5").read_bytes() == whole[0]


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing(checkpoint, whole, tmp_path):
    out = tmp_path / "s.h5"
    processes = crew(checkpoint, out, 3, port=free_port())
    while not out.exists() or not read_surface(out).done.sum() > 20:
        assert processes[0].poll() is None
        time.sleep(0.01)
    os.kill(processes[2].pid, signal.SIGKILL)
    codes, errors = ended(processes)
    assert codes[:2] == [0, 0], errors
    assert out.read_bytes() == whole[0]


@pytest.mark.slow
def test_a_process_that_sees_other_samples_is_refused(checkpoint, tmp_path):
    out, port = tmp_path / "s.h5", free_port()
    both = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    first = started(checkpoint, out, "--worker-timeout", "1", RANK="0", **both)
    second = started(checkpoint, out, "--samples", "5", RANK="1", **both)
    codes, errors = ended([first, second])
    assert codes == [0, 1], errors
    assert "process 1 is not set up as process 0: data_sha256" in errors[1]


@pytest.mark.slow
def test_when_the_writing_process_dies_the_others_end(checkpoint, whole, tmp_path):
    out = tmp_path / "s.h5"
    processes = crew(checkpoint, out, 2, port=free_port())
    while not out.exists() or not read_surface(out).done.sum() > 20:
        assert processes[0].poll() is None
        time.sleep(0.01)
    processes[0].kill()
    codes, errors = ended(processes)
    assert codes[1] == 1
    assert "--resume goes on" in errors[1]
    assert "Traceback" not in errors[1]
    assert started(checkpoint, out, "--resume").wait(120) == 0
    assert out.read_bytes() == whole[0]


@pytest.mark.slow
def test_a_wrong_option_ends_all_processes(checkpoint, tmp_path):
    (tmp_path / "s.h5").write_bytes(b"mine")
    codes, errors = ended(crew(checkpoint, tmp_path / "s.h5", 2, port=free_port()))
    assert codes == [1, 1]
    assert "--force" in errors[0]
    assert errors[1] == ""


def torchrun(checkpoint, out, *how):
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", *how, "-m", "brfkit", "landscape",
            checkpoint, *OPTIONS, "--points", "15", "--block", "1", "--out", str(out), "--json"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes under /proc")
def test_torchrun_starts_anew_after_a_kill(checkpoint, whole, tmp_path):
    """Blocks that the first processes left in the store are not taken for those of the second ones."""
    out = tmp_path / "s.h5"
    arguments = torchrun(checkpoint, out, "--nproc-per-node", "2", "--max-restarts", "3")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as parent:
        while not out.exists() or not read_surface(out).done.sum() > 40:
            assert parent.poll() is None
            time.sleep(0.01)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        second = next(c for c in children if b"\0RANK=1\0" in Path(f"/proc/{c}/environ").read_bytes())
        os.kill(int(second), signal.SIGKILL)
        _, err = parent.communicate(timeout=120)
    assert parent.returncode == 0, err
    assert out.read_bytes() == whole[0]


@pytest.mark.slow
def test_torchrun(checkpoint, whole, tmp_path):
    out = tmp_path / "s.h5"
    arguments = torchrun(checkpoint, out, "--nproc-per-node", "4")
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert out.read_bytes() == whole[0]


def test_one_process_needs_no_torch(checkpoint, tmp_path):
    code = (
        "import sys; from brfkit.cli import run; "
        f"code = run(['landscape', {checkpoint!r}, '--samples', '2', '--points', '3', '--hessian', '1', '--backend', "
        "'numba', '--parameters', 'omega', '--json']); sys.exit(code or 10 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr


def test_a_loss_out_of_range_is_infinite_and_never_read_as_a_number(tmp_path):
    path = tmp_path / "a.h5"
    FORMATS["HDF5, surface"].bases(tmp_path)
    surface = read_surface(path)
    surface.put([0, 1], np.array([[1e300, np.inf], [0.0, 0.0], [0.0, 0.0]]))
    assert np.isinf(surface.values[0, :2]).all()
    write_surface(path, surface, force=True)
    assert summarise(read_surface(path)).to_dict()["not_finite"] == 2
    with h5py.File(path, "r+") as file:
        file["loss"][0, 0] = 1e300
    with pytest.raises(BrfkitError, match=r"beyond 1e\+100"):
        read_surface(path)
