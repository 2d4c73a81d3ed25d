"""How a layer is cut into blocks and threads, and where W_rec lies in the backward scan."""

from __future__ import annotations

from functools import lru_cache

from brfkit.backends.cupy_gpu.source import AdjointShape, ScanShape
from brfkit.errors import BrfkitError
from brfkit.network import Network

WARP = 32
MAX_THREADS = 1024
# Dense input channels up to which a scan multiplies them itself; more go through one matrix product beforehand.
INLINE_CHANNELS = 8
# Steps between two stored states. The states of a segment are written and read again within the L2 cache.
SEGMENT = 16
# Threads of a block whose units do not hear each other; the others of a sample lie in further blocks.
TILE_THREADS = 256
# Threads of a backward block; more would leave fewer registers for W_rec.
ADJOINT_THREADS = 512
# 32-bit registers per thread that hold W_rec: half of the 128 that 512 threads may have, less where a thread has
# several units or numbers take two registers. With more the compiler would spill.
REGISTER_WORDS = 64
# Samples per block beyond which the sums of the product no longer stay in registers.
MAX_SAMPLES = 4
# 16 bytes, the widest access of a thread.
VECTOR_BYTES = 16
LISTED_ROWS = 8  # AHEAD in scan.cu
# Memory that the points of an error surface may take when one launch runs several.
POINTS_BYTES = 2**30


def pad(units: int, to: int = WARP) -> int:
    return -(-units // to) * to


def max_units(item_bytes: int) -> int:
    """Units of a recurrent layer: its columns must have a thread each in the backward scan."""
    return MAX_THREADS * (VECTOR_BYTES // item_bytes)


def check_units(name: str, units: int, recurrent: bool, item_bytes: int) -> None:
    if recurrent and units > max_units(item_bytes):
        raise BrfkitError(
            f"layer {name} has {units} units; backend cupy takes up to {max_units(item_bytes)} in a "
            f"recurrent layer of float{8 * item_bytes}, backend torch more"
        )


@lru_cache(maxsize=256)
def scan_shape(dtype: str, units: int, inline: int, recurrent: bool) -> ScanShape:
    threads = min(pad(units), MAX_THREADS if recurrent else TILE_THREADS)
    return ScanShape(dtype, units, inline, recurrent, threads, SEGMENT)


def points_at_once(network: Network, item_bytes: int, steps: int, samples: int, dense: bool) -> int:
    """Sets of weights that one launch runs: what fits into :data:`POINTS_BYTES`, at least one.

    Counted are the currents, spikes and outputs of every step, which is all that grows with the steps.
    """
    inline = dense and network.inputs <= INLINE_CHANNELS
    values = words = 0
    for i, layer in enumerate(network.layers):
        values += 0 if inline and i == 0 else layer.units
        values += 0 if layer.spec.spiking else layer.units
        words += -(-layer.units // WARP) if layer.spec.spiking else 0
    return max(POINTS_BYTES // max(steps * samples * (values * item_bytes + 4 * words), 1), 1)


def tiles(shape: ScanShape) -> int:
    """Blocks of a sample."""
    return 1 if shape.recurrent else -(-pad(shape.units) // shape.threads)


def scan_shared_bytes(shape: ScanShape) -> int:
    """Shared memory of a forward block: words of the last spikes and their list."""
    return pad(pad(shape.units) // 8, VECTOR_BYTES) + 2 * (shape.units + LISTED_ROWS) if shape.recurrent else 0


@lru_cache(maxsize=256)
def adjoint_shape(
    dtype: str, units: int, inline: int, recurrent: bool, batch: int, processors: int, shared_bytes: int
) -> AdjointShape:
    """The cut of a backward scan.

    Args:
        dtype, units, inline, recurrent: the layer.
        batch: samples B.
        processors: multiprocessors of the device; samples share a block only where there are more of them than these.
        shared_bytes: what a block may have.
    """
    width = pad(units)
    if not recurrent:
        return AdjointShape(dtype, units, inline, False, min(width, TILE_THREADS), SEGMENT)
    item = 4 if dtype == "float32" else 8
    vector = VECTOR_BYTES // item
    samples = 1
    while samples < MAX_SAMPLES and samples * processors < batch and 2 * samples * width <= 2 * ADJOINT_THREADS:
        samples *= 2
    columns = width // vector
    rows = pad(-(-units // max(ADJOINT_THREADS // columns, 1)), vector)
    splits = -(-units // rows)
    threads = max(pad(columns * splits), min(samples * width, ADJOINT_THREADS))
    per_row = vector * item // 4
    owned = -(-samples * width // threads)
    words = REGISTER_WORDS // owned * 4 // item if threads <= ADJOINT_THREADS else 0
    register_rows = min(rows, words // per_row // vector * vector)
    left = shared_bytes - item * samples * (splits * rows + splits * width)
    shared_rows = max(min(rows - register_rows, left // (item * splits * width) // vector * vector), 0)
    return AdjointShape(
        dtype, units, inline, True, threads, SEGMENT, samples, vector, splits, rows, register_rows, shared_rows
    )


def adjoint_shared_bytes(shape: AdjointShape) -> int:
    """Shared memory of a backward block: rows of W_rec, the gradients of a step, partial sums."""
    if not shape.recurrent:
        return 0
    item, width = (4 if shape.dtype == "float32" else 8), pad(shape.units)
    rows = shape.shared_rows * shape.splits * width
    return item * (rows + shape.samples * shape.splits * (shape.rows + width))
