"""Layers in forked and spawned processes, in several threads, and under DistributedDataParallel."""

from __future__ import annotations

import multiprocessing
import threading
import time
from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader

from brfkit import nn
from brfkit.backends import threads
from brfkit.data import load

from .plain import signal

PATIENCE = 60  # seconds; on a busy machine even the start of a process takes some
needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")


@pytest.fixture(autouse=True)
def _several_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def large_batch(layer: torch.nn.Module) -> torch.Tensor:
    """Spikes of a batch of several tiles, which go to the pool."""
    x = 40 * torch.randn(11, 40, 3, generator=torch.Generator().manual_seed(2))
    y = layer(x)[0]
    y.sum().backward()
    return y.detach()


def answer(layer: torch.nn.Module, queue) -> None:
    queue.put(float(large_batch(layer).sum()))


@needs_fork
def test_a_forked_process_answers_after_a_layer_was_used(monkeypatch):
    monkeypatch.setenv("BRFKIT_THREADS", "2")
    layer = nn.BRF(3, 5)
    monkeypatch.setattr(threads, "_find_openmp", lambda: None)  # whose threads are tested in tests/backends
    monkeypatch.setattr(threads, "processors", lambda: 2)
    wanted = float(large_batch(layer).sum())
    assert threads._pools  # else nothing is tested
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=answer, args=(layer, queue))
    start = time.monotonic()
    child.start()
    try:
        assert queue.get(timeout=PATIENCE) == wanted
        assert time.monotonic() - start < 5.0
    finally:
        child.join(PATIENCE)
        child.kill()
    assert child.exitcode == 0


class Encoded(torch.utils.data.Dataset):
    """A data set whose workers run a layer."""

    def __init__(self, split, layer: torch.nn.Module) -> None:
        self.split, self.layer = split, layer

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int):
        x, label = self.split[index]
        with torch.no_grad():
            return self.layer(torch.as_tensor(x)), label


@pytest.mark.parametrize(
    "method", [pytest.param("fork", marks=needs_fork), pytest.param("spawn", marks=pytest.mark.slow)]
)
def test_workers_of_a_data_loader_run_layers(method):
    """An epoch of tones with two workers, which encode, and a readout, which is trained."""
    data = load("tones", limit_train=32, limit_test=8)
    split = data.train
    encoder = nn.BRF(split[0][0].shape[1], 5, return_state=False, init={"w_in": ("normal", 0.0, 30.0)})
    large_batch_of(encoder)
    loader = DataLoader(Encoded(split, encoder), batch_size=8, num_workers=2, multiprocessing_context=method)
    readout = nn.LI(5, data.classes, return_state=False, batch_first=True)
    optimizer = torch.optim.Adam(readout.parameters(), lr=0.05)
    losses = []
    for spikes, labels in loader:
        loss = torch.nn.functional.cross_entropy(readout(spikes).mean(1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert len(losses) == 4
    assert all(map(torch.isfinite, torch.tensor(losses)))


def large_batch_of(layer: nn.NeuronLayer) -> None:
    layer(torch.randn(11, 40, layer.in_features))


def test_a_split_is_a_data_set_of_torch():
    split = load("tones", limit_train=12, limit_test=8).train
    x, y = next(iter(DataLoader(split, batch_size=5)))
    wanted, labels = split.batch(range(5))
    torch.testing.assert_close(x, torch.from_numpy(wanted).transpose(0, 1), rtol=0, atol=0)
    assert y.tolist() == labels.tolist()
    assert sum(len(labels) for _, labels in DataLoader(split, batch_size=5, shuffle=True)) == 12


def test_threads_that_call_at_once():
    layers = [nn.BRF(3, 5) for _ in range(4)]
    wanted = [large_batch(layer) for layer in layers]
    found: dict[int, torch.Tensor] = {}

    def work(index: int) -> None:
        for _ in range(5):
            found[index] = large_batch(layers[index])

    several = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for one in several:
        one.start()
    for one in several:
        one.join(PATIENCE)
    for index, expected in enumerate(wanted):
        torch.testing.assert_close(found[index], expected, rtol=0, atol=0)


def test_threads_follow_torch_set_num_threads(monkeypatch):
    from brfkit.nn.plan import choose

    monkeypatch.setenv("BRFKIT_THREADS", "64")
    torch.set_num_threads(3)
    assert choose("auto", torch.device("cpu")).threads == 3
    monkeypatch.setenv("BRFKIT_THREADS", "2")
    assert choose("auto", torch.device("cpu")).threads == 2


def replica(rank: int, layer: torch.nn.Module, store: str, queue) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    parallel = torch.nn.parallel.DistributedDataParallel(layer)
    parallel(signal(nn.BRF)[:, 2 * rank : 2 * rank + 2])[0].mean().backward()
    queue.put((rank, {name: p.grad.tolist() for name, p in layer.named_parameters()}))
    torch.distributed.destroy_process_group()


@needs_fork
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_distributed_data_parallel_gives_the_gradients_of_the_whole_batch(tmp_path):
    layer = nn.BRF(3, 5)
    layer(signal(nn.BRF))[0].mean().backward()
    wanted = {name: p.grad.clone() for name, p in layer.named_parameters()}
    layer.zero_grad()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    run = partial(context.Process, target=replica)
    children = [run(args=(rank, layer, str(tmp_path / "store"), queue)) for rank in range(2)]
    for child in children:
        child.start()
    try:
        answers = dict(queue.get(timeout=PATIENCE) for _ in children)
    finally:
        for child in children:
            child.join(PATIENCE)
            child.kill()
    for name, grad in wanted.items():
        assert answers[0][name] == answers[1][name]
        torch.testing.assert_close(torch.tensor(answers[0][name]), grad, rtol=1e-5, atol=1e-7)
