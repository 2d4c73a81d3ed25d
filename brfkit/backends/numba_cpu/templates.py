"""Time loops of the numba kernels. ``@NAME`` lines are filled in by :mod:`brfkit.backends.numba_cpu.kernels`.

A kernel runs one tile of samples through one layer. Arrays are flat; units are padded to ``width`` and come in
``width / LANES`` vectors. Layouts (row-major): weights [presynaptic][width]; state [vector][sample][state][LANES], in
the order in which the loops run; bits [time + 1][sample][word] of uint64, row 0 the spikes before the first step;
current [time][sample][width]; checkpoint [segment] of state.
"""

PREAMBLE = '''"""Generated: equations from brfkit/neurons, loops from brfkit/backends/numba_cpu/templates.py."""

import numba
import numpy as np

from brfkit.backends.numba_cpu import simd

real = np.@DTYPE
TILE = @TILE
STATES = @STATES
ROWS = @ROWS
LANES = @LANES


@numba.njit(nogil=True, error_model="numpy")
def active(bits, offset, words, out):
    """Indices of the set bits of a row of words; returns their number."""
    count = 0
    for w in range(words):
        word = bits[offset + w]
        while word != 0:
            out[count] = w * 64 + simd.count_trailing_zeros(word)
            count += 1
            word &= word - np.uint64(1)
    return count
'''

MATRIX = '''
@numba.njit(nogil=True, error_model="numpy")
def product(x, offset, stride, w, rows, width, z, add):
    """z[s, :] (+)= sum over j of x[s, j] w[j, :] for all samples of a tile; the sums stay in registers."""
    for c in range(0, width, @STEP):
        if add:
            @LOAD
        else:
            @ZERO
        for j in range(rows):
            @BODY
        @STORE
'''

FORWARD = '''
@numba.njit(nogil=True, error_model="numpy", cache=CACHE)
def forward(
    x, indptr, indices, below, w_in, w_rec, bias, params, consts,
    state, bits, current, checkpoint, out, record,
    first, count, batch, steps, units, width, inputs, words, words_in, segment, keep, store, recording,
):
    """One tile through one layer; ``keep`` stores the state once a segment, ``store`` the current of every step."""
    @HEADER
    bits_list = np.empty(max(units, 1), np.int64)
    below_list = np.empty(max(inputs, 1), np.int64)
    row = np.empty(TILE * width, real)
    n_fired = 0
    for t in range(steps):
        if keep and t % segment == 0:
            for i in range(len(state)):
                checkpoint[(t // segment) * len(state) + i] = state[i]
        now = t * TILE * width if store else 0
        for s in range(count):
            @LISTS
            for c in range(0, width, @STEP):
                @START
                @GATHER
                @STORE
        @DENSE_RECURRENCE
        n_fired = 0
        for k in range(0, width, @LANES):
            @LOAD_DERIVED
            for s in range(count):
                n_x = simd.load(current, now + s * width + k, @LANES)
                @LOAD_STATES
                @NEURON
                @STORE_STATES
                @EMIT
        @COPY_OUT
        if recording:
            for s in range(count):
                for i in range(STATES):
                    for h in range(units):
                        value = state[((h // LANES * TILE + s) * STATES + i) * LANES + h % LANES]
                        record[((i * steps + t) * batch + first + s) * units + h] = value
'''

COPY_OUT = """
for s in range(count):
    for h in range(units):
        out[(t * batch + first + s) * units + h] = row[s * width + h]
"""

EMIT_SPIKES = """
fired = simd.bits(simd.greater(out_, half))
if k + @LANES > units:
    fired &= (np.uint64(1) << np.uint64(max(units - k, 0))) - np.uint64(1)
if fired != 0:
    bits[((t + 1) * TILE + s) * words + (k >> 6)] |= fired << np.uint64(k & 63)
    n_fired += simd.popcount(fired)
"""

# Above this share of spikes the matrix kernel, which reads W_rec once for the whole tile, is faster than gathering.
DENSE_SHARE = 0.45
DENSE_RECURRENCE = """
if dense:
    for i in range(TILE * width):
        row[i] = real(0.0)
    for s in range(count):
        for e in range(active(bits, (t * TILE + s) * words, words, bits_list)):
            row[s * width + bits_list[e]] = real(1.0)
    product(row, 0, width, w_rec, units, width, current[now : now + TILE * width], True)
"""

BACKWARD = '''
@numba.njit(nogil=True, error_model="numpy", cache=CACHE)
def backward(
    x, indptr, indices, below, w_in, w_rec_forward, bias, w_rec, params, consts,
    bits, current, checkpoint, grad, down, w_down, state_bar, carry,
    d_in, d_rec, d_bias, d_params, xbar_all,
    first, count, batch, steps, units, width, inputs, words, words_in, segment, store,
    has_grad, down_units, down_width, keep_xbar,
):
    """One tile back through one layer, segment by segment.

    States of a segment and the slopes of its spikes are recomputed from its checkpoint and the currents, before the
    pass back in time, whose chain of dependent operations stays short that way. ``carry`` is the gradient that arrives
    at the spikes of a step from the next one; ``down`` is the gradient of the currents of the layer above.
    """
    @HEADER
    plane = TILE * ROWS * width
    seg_states = np.empty((segment + 1) * plane, real)
    xbar = np.zeros(segment * TILE * width, real)
    zbar = np.zeros(TILE * width, real)
    capacity = segment * TILE
    widest = max(max(units, inputs), 1)
    row_list = np.empty(widest * capacity, np.int32)
    row_count = np.zeros(widest, np.int64)
    active_list = np.empty(widest, np.int64)
    bits_list = np.empty(widest, np.int64)
    below_list = np.empty(widest, np.int64)
    factors = np.zeros(capacity, real)
    if not store:
        current = np.empty(capacity * width, real)
    for number in range((steps + segment - 1) // segment - 1, -1, -1):
        t0 = number * segment
        t1 = min(t0 + segment, steps)
        base_t = 0 if store else t0
        if not store:
            for t in range(t0, t1):
                now = (t - t0) * TILE * width
                for s in range(count):
                    @LISTS
                    for c in range(0, width, @STEP):
                        @START
                        @GATHER
                        @STORE
        for k in range(0, width, LANES):
            for s in range(count):
                @LOAD_CHECKPOINT
                row = (k * TILE + s * LANES) * ROWS
                @STORE_FIRST
        for t in range(t0, t1):
            for k in range(0, width, LANES):
                @LOAD_DERIVED
                for s in range(count):
                    row = (t - t0) * plane + (k * TILE + s * LANES) * ROWS
                    n_x = simd.load(current, ((t - base_t) * TILE + s) * width + k, @LANES)
                    @LOAD_STATES
                    @NEURON
                    @STORE_SLOPES
                    @STORE_STATES
        for t in range(t1 - 1, t0 - 1, -1):
            row0 = (t - t0) * TILE * width
            for i in range(TILE * width):
                zbar[i] = carry[i]
            if has_grad:
                for s in range(count):
                    for h in range(units):
                        zbar[s * width + h] += grad[(t * batch + first + s) * units + h]
            if down_units > 0:
                product(down, t * TILE * down_width, down_width, w_down, down_units, width, zbar, True)
            for k in range(0, width, @LANES):
                @LOAD_DERIVED
                @LOAD_SUMS
                sum_bias = simd.load(d_bias, k, @LANES)
                for s in range(count):
                    n_x = simd.load(current, ((t - base_t) * TILE + s) * width + k, @LANES)
                    n_out_bar = simd.load(zbar, s * width + k, @LANES)
                    row = (t - t0) * plane + (k * TILE + s * LANES) * ROWS
                    @LOAD_SEGMENT
                    @LOAD_BARS
                    @ADJOINT
                    simd.store(xbar, row0 + s * width + k, x_bar_)
                    @STORE_BARS
                    @ADD_SUMS
                    sum_bias = sum_bias + x_bar_
                @STORE_SUMS
                simd.store(d_bias, k, sum_bias)
            @CARRY
        if keep_xbar:
            for i in range((t1 - t0) * TILE * width):
                xbar_all[t0 * TILE * width + i] = xbar[i]
        @WEIGHT_GRADIENTS
'''

CARRY_RECURRENT = "product(xbar, row0, width, w_rec, units, width, carry, False)"
CARRY_NONE = """
for i in range(TILE * width):
    carry[i] = real(0.0)
"""

DENSE_GRADIENT = """
rows = (t1 - t0) * TILE
for i in range(inputs):
    for r in range(rows):
        s = r % TILE
        if s < count:
            factors[r] = x[((t0 + r // TILE) * batch + first + s) * inputs + i]
    for c in range(0, width, @STEP):
        @START
        @GATHER
        @STORE
"""

EVENT_GRADIENT = """
for s in range(count):
    e_row = (first + s) * (steps + 1)
    for t in range(t0, t1):
        row = ((t - t0) * TILE + s) * width
        for e in range(indptr[e_row + t], indptr[e_row + t + 1]):
            target = indices[e] * width
            for k in range(0, width, @LANES):
                value = simd.load(d_in, target + k, @LANES) + simd.load(xbar, row + k, @LANES)
                simd.store(d_in, target + k, value)
"""

# Rows of the segment in which each presynaptic neuron was active, then one pass per neuron with its sum in registers.
SPIKE_GRADIENT = """
for j in range(@PRESYNAPTIC):
    row_count[j] = 0
for t in range(t0, t1):
    for s in range(count):
        n_active = active(@BITS, ((t + @SHIFT) * TILE + s) * @WORDS, @WORDS, active_list)
        for e in range(n_active):
            j = active_list[e]
            row_list[j * capacity + row_count[j]] = (t - t0) * TILE + s
            row_count[j] += 1
for j in range(@PRESYNAPTIC):
    if row_count[j] > 0:
        for c in range(0, width, @STEP):
            @START
            @GATHER
            @STORE
"""

# For rows of few vectors: keep the row in registers and add it to the gradient of every neuron that was active.
NARROW_SPIKE_GRADIENT = """
for t in range(t0, t1):
    for s in range(count):
        row = ((t - t0) * TILE + s) * width
        @LOAD_ROW
        for w in range(@WORDS):
            word = @BITS[((t + @SHIFT) * TILE + s) * @WORDS + w]
            while word != 0:
                target = (w * 64 + simd.count_trailing_zeros(word)) * width
                word &= word - np.uint64(1)
                @ADD_ROW
"""
