"""The contestants of a benchmark by their names: the peers, and the backends."""

from __future__ import annotations

from brfkit.backends import get_backend
from brfkit.backends.threads import default_threads
from brfkit.bench.jax_loop import JaxLoop, require_jax
from brfkit.bench.measure import CLIP_NORM, LEARNING_RATE, Fused, PlainLoop
from brfkit.bench.workloads import Workload
from brfkit.errors import BrfkitError

PLAIN, JAX = "plain", "jax"
PEERS = (PLAIN, JAX)
Peer = PlainLoop | JaxLoop


def check_peer(name: str, threads: int | None) -> None:
    """Refuse a peer that cannot run here, before anything else takes time.

    Raises:
        BrfkitError: an unknown name, what it needs is not installed, or it cannot keep to so many threads.
    """
    if name not in PEERS:
        raise BrfkitError(f"unknown peer {name!r}; there are {', '.join(PEERS)}")
    if name == JAX:
        if threads not in (None, default_threads()):
            raise BrfkitError(
                f"jax computes with all {default_threads()} processors of the process, not with {threads}; leave out "
                "the number of threads, and bound the processors of the whole process instead (taskset)"
            )
        require_jax()


def make_peer(workload: Workload, name: str, threads: int) -> Peer:
    """The plain loop, or the scan of JAX, which takes all processors of the process."""
    return JaxLoop(workload, LEARNING_RATE, CLIP_NORM) if name == JAX else PlainLoop(workload, threads)


def make_contestant(
    workload: Workload, who: str, threads: int, gradient_precision: str = "float32"
) -> PlainLoop | JaxLoop | Fused:
    """A peer, or a backend under the Trainer's step."""
    if who in PEERS:
        return make_peer(workload, who, threads)
    return Fused(workload, get_backend(who, threads=threads), threads, gradient_precision)
