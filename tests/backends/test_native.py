"""The compiler of kernels against Python itself, which runs the same text."""

from __future__ import annotations

import ctypes
import inspect
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

from brfkit.backends.numba_cpu.compile import compile_native
from brfkit.backends.numba_cpu.native.driver import drive
from brfkit.backends.numba_cpu.native.lower import ModuleCompiler, compile_kernel
from brfkit.backends.numba_cpu.native.operations import CompileError
from brfkit.backends.numba_cpu.native.types import FLOAT32, FLOAT64, INT32, INT64, UINT64, Array

TYPES = {"f": Array(FLOAT64), "g": Array(FLOAT32), "i": Array(INT64), "j": Array(INT32), "w": Array(UINT64)}
DTYPES = {"f": np.float64, "g": np.float32, "i": np.int64, "j": np.int32, "w": np.uint64}
real = np.float32
SIMD = SimpleNamespace(
    get=lambda a, i: a[i],
    put=lambda a, i, v: a.__setitem__(i, v),
    popcount=lambda x: int(x).bit_count(),
    count_trailing_zeros=lambda x: 64 if x == 0 else (int(x) & -int(x)).bit_length() - 1,
)


def run(function, arrays, *numbers, helpers=()):
    """A function compiled, and called with arrays and integers; the arrays after it."""
    text = "\n".join(textwrap.dedent(inspect.getsource(f)) for f in (*helpers, function))
    kernel = compile_native("real = np.float32\nFACTOR = 3\n" + text, function.__name__, TYPES)
    parameters = list(inspect.signature(function).parameters)
    table = np.zeros(kernel.width, np.int64)
    for name, value in zip(parameters, (*arrays, *numbers), strict=True):
        table[kernel.slots[name]] = value.ctypes.data if isinstance(value, np.ndarray) else value
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(kernel.address)
    assert call(table.ctypes.data, 0) == 0
    return arrays


FACTOR = 3
np_, simd = np, SIMD


def integers(i, n, a, b):
    i[0] = a // b
    i[1] = a % b
    i[2] = a // 8
    i[3] = a % 8
    i[4] = a >> 2
    i[5] = a << 3
    i[6] = a & b
    i[7] = a | b
    i[8] = a ^ b
    i[9] = min(a, b)
    i[10] = max(a, b)
    i[11] = -a
    i[12] = FACTOR * a - b
    i[13] = a if a > b else b
    i[14] = a < b
    i[15] = not (a == b or a > 9)
    i[16] = a > 0 and b > 0
    i[17] = a > 0 or b > 0
    i[n] += 5


def ranges(i, n, first, last):
    count = 0
    for k in range(n):
        count += k
    i[0] = count
    for k in range(first, last):
        i[1] += k * k
    for k in range(last, first, -2):
        i[2] += k
    for k in range(0, n, 3):
        i[3] = k
    k = n
    while k != 0:
        k = k // 2
        i[4] += 1
    if first > last:
        i[5] = 1
    else:
        i[5] = 2


def unsigned(w, n):
    word = w[0]
    count = 0
    while word != 0:
        w[1 + count] = np.uint64(simd.count_trailing_zeros(word))
        word &= word - np.uint64(1)
        count += 1
    w[n] = np.uint64(simd.popcount(w[0]))
    w[n + 1] = w[0] >> np.uint64(3)
    w[n + 2] = w[0] if w[0] > np.uint64(9223372036854775808) else np.uint64(7)


def floats(f, g, j, n):
    total = 0.0
    for k in range(n):
        total += f[k]
        g[k] = real(f[k] / 3.0)
        j[k] = np.int32(f[k])
    f[0] = total
    f[1] = np.log(total) if total > 1.0 else 0.5 * n
    g[0] += g[1] * g[2]
    g[1] = -g[1]


@pytest.mark.parametrize("a", [-17, -8, 0, 5, 64])
@pytest.mark.parametrize("b", [-3, 4, 7])
def test_integers(a, b):
    expected = np.zeros(19, np.int64)
    integers(expected, 18, a, b)
    (got,) = run(integers, (np.zeros(19, np.int64),), 18, a, b)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("n", "first", "last"), [(0, 0, 0), (5, 2, 9), (7, 9, 2), (64, -3, 3)])
def test_ranges(n, first, last):
    expected = np.zeros(8, np.int64)
    ranges(expected, n, first, last)
    (got,) = run(ranges, (np.zeros(8, np.int64),), n, first, last)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("word", [0, 1, 0xF0F, (1 << 63) + 1, (1 << 64) - 1])
def test_unsigned(word):
    arrays = [np.zeros(80, np.uint64) for _ in range(2)]
    for array in arrays:
        array[0] = word
    unsigned(arrays[0], 70)
    run(unsigned, (arrays[1],), 70)
    np.testing.assert_array_equal(arrays[1], arrays[0])


def test_floats():
    values = np.array([1.5, 2.25, -3.75, 10.0])
    got, expected = ([values.copy(), np.zeros(4, np.float32), np.zeros(4, np.int32)] for _ in range(2))
    floats(*expected, 4)
    run(floats, got, 4)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def helper(array, k):
    array[k] += 1
    return k * 2


def memory(i, n):
    for round_ in range(n):
        made = np.empty(round_ + 1, np.int64)
        zeros = np.zeros(n, np.int32)
        made[round_] = round_
        i[round_] = made[round_] + zeros[n - 1]
    full = np.full(n, 7, np.int64)
    i[n] = full[0] + full[n - 1]
    part = i[1:n]
    i[n + 1] = part[0]
    i[n + 2] = 0 if n > 3 else helper(i, 0)


def test_memory_and_functions():
    """An array is freed when its line makes the next one; what is not chosen is not computed."""
    (got,) = run(memory, (np.zeros(64, np.int64),), 50, helpers=(helper,))
    np.testing.assert_array_equal(got[:53], [*range(50), 14, 1, 0])
    (got,) = run(memory, (np.zeros(64, np.int64),), 3, helpers=(helper,))
    np.testing.assert_array_equal(got[:6], [1, 1, 2, 14, 1, 0])


REFUSED = {
    "int64 and uint64": "def f(i, w):\n    i[0] = i[1] + w[0]\n",
    "is of type": "def f(i, w):\n    x = i[0]\n    x = w\n",
    "is an integer and float64": "def f(i, w):\n    x = 1\n    x = 0.5\n",
    "is not defined": "def f(i, w):\n    i[0] = y\n",
    "is not known": "def f(i, w):\n    i[0] = print(1)\n",
    "step of a range": "def f(i, w):\n    for k in range(0, 9, i[0]):\n        i[0] = k\n",
    "With is not compiled": "def f(i, w):\n    with i:\n        pass\n",
    "in line 3": "def f(i, w):\n    i[0] = 1\n    i[1] = z\n",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_compiled_is_refused(message):
    with pytest.raises(CompileError, match=message):
        compile_kernel(ModuleCompiler(REFUSED[message]), "f", TYPES, frozenset())


def count(i, n):
    i[n] += 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_call_is_made_once(threads):
    kernel = compile_native("real = np.float32\n" + inspect.getsource(count), "count", TYPES)
    done, calls = np.zeros(400, np.int64), np.zeros((100, 2), np.int64)
    tables = np.stack([np.full(100, done.ctypes.data), np.arange(100) * 4], axis=1)
    calls[:, 0] = kernel.address
    calls[:, 1] = tables.ctypes.data + np.arange(100) * 16
    starts = np.array([0, 1, 1, 30, 100])
    drive(starts, calls, threads)
    np.testing.assert_array_equal(done.reshape(-1, 4), np.tile([1, 0, 0, 0], (100, 1)))


def greedy(i, n):
    made = np.empty(n, np.int64)
    made[0] = 1
    i[0] = made[0]


def test_no_memory_is_an_error():
    kernel = compile_native("real = np.float32\n" + inspect.getsource(greedy), "greedy", TYPES)
    target = np.zeros(1, np.int64)
    table = np.array([target.ctypes.data, 1 << 55])
    with pytest.raises(MemoryError):
        drive(np.array([0, 1]), np.array([[kernel.address, table.ctypes.data]]), 1)
    assert target[0] == 0
