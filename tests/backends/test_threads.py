"""Threads: as many as the process may use, the same ones as torch's, and none that a fork has lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from brfkit.backends import threads
from brfkit.backends.numba_cpu import NumbaBackend
from brfkit.backends.threads import cpu_quota, processors


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "nonsense\n"}, None),
        ({}, None),
    ],
)
def test_quota_of_a_container(tmp_path, files, quota):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cpu_quota.__wrapped__(tmp_path) == quota


def test_processors_within_the_quota(monkeypatch):
    monkeypatch.setattr(threads, "cpu_quota", lambda: 0.3)
    assert processors() == 1
    monkeypatch.setattr(threads, "cpu_quota", lambda: 1e6)
    assert processors() == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture(autouse=True)
def _two_threads_of_torch(monkeypatch):
    monkeypatch.setattr(threads, "_crowded", lambda: False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_thread_of_torch_leaves_openmp_alone():
    torch.set_num_threads(1)
    assert threads._openmp() is None


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="no load average here")
def test_a_crowded_machine_leaves_openmp_alone(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for load, crowded in ((4.2, False), (6.5, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert threads._crowded() == crowded
    assert threads._openmp() is None


def test_helpers_that_have_not_begun_are_not_waited_for(monkeypatch):
    """The caller does their work; a processor that another process holds keeps no one waiting."""
    pool = threads._pool(3)
    hold = threading.Event()
    blocked = [pool.submit(hold.wait, 60) for _ in range(3)]
    try:
        assert threads.parallel(lambda i: i * i, 5, 3) == [0, 1, 4, 9, 16]
        assert not any(b.done() for b in blocked)
    finally:
        hold.set()


@pytest.fixture
def scan(make_network):
    """Outputs of a batch of three tiles, as bytes."""
    network, weights, _ = make_network()
    x = np.random.default_rng(0).standard_normal((20, 17, network.inputs))
    return lambda: NumbaBackend(2).scan(network, weights, x).outputs.tobytes()


def test_openmp_and_pool_give_the_same(scan, monkeypatch):
    monkeypatch.setattr(threads, "processors", lambda: 2)
    with_openmp = scan()
    monkeypatch.setattr(threads, "_find_openmp", lambda: None)
    assert scan() == with_openmp


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings libgomp on Linux")
def test_the_library_of_torch_is_found():
    if "OpenMP" not in torch.__config__.parallel_info():
        pytest.skip("torch without OpenMP")
    assert threads._find_openmp() is not None


def test_two_python_threads_at_once(scan, monkeypatch):
    monkeypatch.setattr(threads, "processors", lambda: 2)
    expected, found = scan(), []
    workers = [threading.Thread(target=lambda: found.extend(scan() for _ in range(20))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [expected] * 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_computes_too():
    """OpenMP's threads are gone after a fork, and a team of them would be waited for without end."""
    script = """
import os, numpy as np, torch
from brfkit.backends import threads
from brfkit.backends.numba_cpu import NumbaBackend
from brfkit.network import recurrent_network
threads.processors = lambda: 2
threads._crowded = lambda: False
torch.set_num_threads(2)
network = recurrent_network(3, [5], 2, "brf")
weights = network.initialise(0, np.float32)
x = np.ones((9, 40, 3), np.float32)
scan = lambda: NumbaBackend(2).scan(network, weights, x).outputs.tobytes()
expected = scan()
torch.ones(300000).sum()
child = os.fork()
if child == 0:
    torch.ones(3000000).sum()  # torch's own operations, too
    os._exit(0 if scan() == expected and torch.get_num_threads() == 1 else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert scan() == expected
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
