"""Time loops of the numba kernels. ``@NAME`` lines are filled in by :mod:`brfkit.backends.numba_cpu.kernels`.

A kernel runs one tile of samples through one layer. Arrays are flat; units are padded to ``WIDTH`` and come in
``WIDTH / LANES`` vectors. Layouts (row-major): weights [presynaptic][WIDTH], where W_in of spikes and W_rec end with a
row of zeros; state [vector][sample][state][LANES], in the order in which the loops run; bits [time + 1][sample][word]
of uint64, row 0 the spikes before the first step; current [time][sample][WIDTH]; checkpoint [segment] of state.
"""

# Arguments that are not int64. The backward kernel's names are the same.
ARRAYS = {
    "real": "x w_in w_rec w_rec_forward bias params consts state current checkpoint out record grad down w_down "
    "w_pairs state_bar carry d_in d_rec d_bias d_params xbar w_x x_bar",
    "int64": "indptr counts",
    "int32": "indices",
    "uint64": "below bits keys",
}
NUMBERS = {"bound": "uint64"}
# Arrays that every thread has for itself, and uses for one tile after the other.
OWN = frozenset({"current", "down", "xbar"})

PREAMBLE = '''"""Generated: equations from brfkit/neurons, loops from brfkit/backends/numba_cpu/templates.py."""

import numba
import numpy as np

from brfkit.backends.numba_cpu import simd

real = np.@DTYPE
TILE = @TILE
STATES = @STATES
ROWS = @ROWS
LANES = @LANES
WIDTH = @WIDTH
WORDS = @WORDS


@numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def buffer(count):
    """An array of zeros that starts at a multiple of 64 bytes, so that no vector lies across two lines of the cache."""
    whole = np.zeros(count + 64 // @ITEM, real)
    start = -(simd.address(whole) // @ITEM) % (64 // @ITEM)
    return whole[start : start + count]


@numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def active(bits, offset, words, out):
    """Indices of the set bits of a row of words; returns their number."""
    count = 0
    for w in range(words):
        word = simd.get(bits, offset + w)
        while word != 0:
            out[count] = w * 64 + simd.count_trailing_zeros(word)
            count += 1
            word &= word - np.uint64(1)
    return count
'''

MATRIX = '''
@numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
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
@numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)
def forward(
    x, indptr, indices, below, w_in, w_rec, bias, params, consts,
    state, bits, current, checkpoint, out, record, counts,
    first, count, batch, steps, units, inputs, segment, keep, store, recording,@MASKED
):
    """One tile through one layer; ``keep`` stores the state once a segment, ``store`` the current of every step."""
    control = simd.flush_denormals()
    stride = max(WIDTH, 1)  # numba would compile another product for a literal
    @HEADER
    bits_list = np.empty(max(units, 1), np.int64)
    below_list = np.empty(max(inputs, 1), np.int64)
    row = buffer(TILE * WIDTH)
    n_fired = 0
    for t in range(steps):
        if keep and t % segment == 0:
            for i in range(TILE * STATES * WIDTH):
                checkpoint[(t // segment) * (TILE * STATES * WIDTH) + i] = state[i]
        now = t * TILE * WIDTH if store else 0
        @CURRENT
        @NO_SPIKES
        for k in range(0, WIDTH, @LANES):
            @LOAD_SHARED
            @MASK
            for s in range(count):
                @NEURON
                @EMIT
        @COUNT
        @COPY_OUT
        if recording:
            for s in range(count):
                for i in range(STATES):
                    for h in range(units):
                        value = state[((h // LANES * TILE + s) * STATES + i) * LANES + h % LANES]
                        record[((i * steps + t) * batch + first + s) * units + h] = value
    simd.restore_denormals(control)
'''

# The input currents of a step; what ``CHANNELS`` dense channels bring is added where the neuron is computed.
CURRENT = """
for s in range(0, count, @GROUP):
    @LISTS
    for c in range(0, WIDTH, @STEP):
        @START
        @GATHER
        @STORE
"""

# A dense input of many channels: the samples of a whole tile share the rows of W_in that are loaded.
DENSE_INPUT = """
whole = count == TILE
for s in range(count):
    for c in range(0, WIDTH, @LANES):
        simd.store(current, now + s * WIDTH + c, simd.load(bias, c, @LANES))
if whole:
    product(x, (t * batch + first) * inputs, inputs, w_in, inputs, stride, current[now:], stride > 0)
"""

# Rows of the spikes of several samples at once, a spike of each in turn. How often a loop over spikes repeats cannot be
# foretold, so one loop for all of them costs the processor fewer wrong guesses; who has no spike left adds zeros.
GATHER_TOGETHER = """
for w in range(@WORDS):
    @WORD
    while @ANY != 0:
        @BASE
        @NEXT
        @ADD
"""

EMIT_OUTPUTS = "simd.store(row, s * WIDTH + k, out_)"

# Which lanes of a vector are units and not padding.
MASK = """
real_units = np.uint64(0xFFFFFFFFFFFFFFFF)
if k + @LANES > units:
    real_units = (np.uint64(1) << np.uint64(max(units - k, 0))) - np.uint64(1)
"""

COPY_OUT = """
for s in range(count):
    for h in range(@UNITS):
        out[(t * batch + first + s) * @UNITS + h] = row[s * WIDTH + h]
"""

# Between the spikes of a vector and their bits, where spikes are dropped.
DROP_SPIKES = "fired = drop_spikes(fired, keys[first + s], t, layer, k, bound)"
SPIKE_MASK = '''
@numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
@SPIKE_HASH

@numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def drop_spikes(fired, key, step, layer, first, bound):
    """The spikes of a vector, its first unit ``first``, that are not dropped (brfkit/backends/spike_mask.py)."""
    word = fired
    while word != 0:
        bit = simd.count_trailing_zeros(word)
        if spike_hash(key, np.uint64(step), np.uint64(layer), np.uint64(first + bit)) >> np.uint64(11) < bound:
            fired ^= np.uint64(1) << np.uint64(bit)
        word &= word - np.uint64(1)
    return fired
'''

# Nothing arrives at a spike that was dropped, or would have been: the surrogate has a slope without a spike, too.
UNREACHED = """
for s in range(count):
    for h in range(units):
        if spike_hash(keys[first + s], np.uint64(t), np.uint64(layer), np.uint64(h)) >> np.uint64(11) < bound:
            carry[s * WIDTH + h] = real(0.0)
"""

EMIT_SPIKES = """
fired = simd.bits(simd.greater(out_, half)) & real_units
@DROP
place = ((t + 1) * TILE + s) * WORDS + (k >> 6)
simd.put(bits, place, simd.get(bits, place) | fired << np.uint64(k & 63))
"""

NO_SPIKES = """
for i in range(TILE * WORDS):
    simd.put(bits, (t + 1) * TILE * WORDS + i, np.uint64(0))
"""
COUNT_SPIKES = """
n_fired = 0
for s in range(count):
    n_sample = 0
    for w in range(WORDS):
        n_sample += simd.popcount(simd.get(bits, ((t + 1) * TILE + s) * WORDS + w))
    counts[first + s] += n_sample
    n_fired += n_sample
"""
# The spikes of the last layer as numbers.
SPIKES_OUT = """
for s in range(count):
    for h in range(units):
        word = simd.get(bits, ((t + 1) * TILE + s) * WORDS + (h >> 6))
        out[(t * batch + first + s) * units + h] = real((word >> np.uint64(h & 63)) & np.uint64(1))
"""

# Above this share of spikes the matrix kernel, which reads W_rec once for the whole tile, is faster than gathering.
DENSE_SHARE = 0.45
DENSE_RECURRENCE = """
if dense:
    for i in range(TILE * WIDTH):
        row[i] = real(0.0)
    for s in range(count):
        for e in range(active(bits, (t * TILE + s) * WORDS, WORDS, bits_list)):
            row[s * WIDTH + bits_list[e]] = real(1.0)
    product(row, 0 * now, stride, w_rec, units, stride, current[now : now + TILE * WIDTH], stride > 0)
"""

BACKWARD = '''
@numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)
def backward(
    x, indptr, indices, below, w_in, w_rec_forward, bias, @W_BACK, params, consts,
    bits, current, checkpoint, grad, down, w_down, state_bar, carry,
    d_in, d_rec, d_bias, d_params, xbar, w_x, x_bar,
    first, count, batch, steps, units, inputs, segment, store,
    has_grad, down_units, down_width, keep_xbar, wants_input, x_width,@MASKED
):
    """One tile back through one layer, segment by segment.

    States of a segment and the slopes of its spikes are recomputed from its checkpoint and the currents, before the
    pass back in time, whose chain of dependent operations stays short that way. ``carry`` is the gradient that arrives
    at the spikes of a step from the next one; ``down`` is the gradient of the currents of the layer above, ``xbar``
    that of this layer's, kept for all steps where ``keep_xbar`` says so.
    """
    control = simd.flush_denormals()
    stride = max(WIDTH, 1)  # numba would compile another product for a literal
    @HEADER
    if keep_xbar and count < TILE:  # samples that are not there
        for i in range(steps * TILE * WIDTH):
            xbar[i] = real(0.0)
    plane = TILE * ROWS * WIDTH
    seg_states = buffer((segment + 1) * plane)
    @BEGIN
    capacity = segment * TILE
    widest = max(max(units, inputs), 1)
    listed = @LISTED
    row_list = np.empty(listed * capacity, np.int32)
    row_count = np.zeros(widest, np.int64)
    begins = np.zeros(inputs + 1, np.int64)
    active_list = np.empty(widest, np.int64)
    bits_list = np.empty(widest, np.int64)
    below_list = np.empty(widest, np.int64)
    factors = np.zeros(@CHANNELS * capacity, real)
    if not keep_xbar:
        xbar = buffer(capacity * WIDTH)
    if not store:
        current = buffer(capacity * WIDTH)
    @INPUT_ROW
    for number in range((steps + segment - 1) // segment - 1, -1, -1):
        t0 = number * segment
        t1 = min(t0 + segment, steps)
        base_t = 0 if store else t0
        base_row = t0 * TILE if keep_xbar else 0
        if not store:
            for t in range(t0, t1):
                now = (t - t0) * TILE * WIDTH
                @CURRENT
        for k in range(0, WIDTH, @LANES):
            for s in range(count):
                @LOAD_CHECKPOINT
                row = (k * TILE + s * LANES) * ROWS
                @STORE_FIRST
        for t in range(t0, t1):
            now = (t - base_t) * TILE * WIDTH
            for k in range(0, WIDTH, @LANES):
                @LOAD_SHARED
                for s in range(count):
                    row = (t - t0) * plane + (k * TILE + s * LANES) * ROWS
                    @NEURON
        for t in range(t1 - 1, t0 - 1, -1):
            now = (t - base_t) * TILE * WIDTH
            row0 = ((t - t0) * TILE + base_row) * WIDTH
            @ARRIVING
            @UNREACHED
            for k in range(0, WIDTH, @LANES):
                @LOAD_SHARED
                @LOAD_SUMS
                sum_bias = simd.load(d_bias, k, @LANES)
                for s in range(count):
                    row = (t - t0) * plane + (k * TILE + s * LANES) * ROWS
                    @ADJOINT
                @STORE_SUMS
                simd.store(d_bias, k, sum_bias)
            @INPUT_GRADIENT
            @CARRY
        @WEIGHT_GRADIENTS
    @END
    simd.restore_denormals(control)
'''

# What comes to the last layer from the outputs, and to the others from the layer above.
ARRIVING_OUTPUTS = """
if has_grad:
    for s in range(count):
        for h in range(@UNITS):
            carry[s * WIDTH + h] += grad[(t * batch + first + s) * @UNITS + h]
"""
ARRIVING_CURRENTS = "product(down, t * TILE * down_width, down_width, w_down, down_units, stride, carry, stride > 0)"

# Through W_in, whose columns ``w_x`` holds as rows of ``x_width``.
INPUT_ROW = "x_line = buffer(TILE * x_width)"
INPUT_GRADIENT = """
if wants_input:
    product(xbar, row0, stride, w_x, units, x_width, x_line, stride < 0)
    for s in range(count):
        for i in range(inputs):
            x_bar[(t * batch + first + s) * inputs + i] = x_line[s * x_width + i]
"""

CARRY_RECURRENT = "product(xbar, row0, stride, w_rec, units, stride, carry, stride < 0)"
# The same product with operands in bfloat16 and sums in float32; ``w_pairs`` holds the bits of two rows of W_rec in
# each number, ``half`` those of two entries of a sample's x̄. Of AVX512-BF16 or software one vector at a time, of AMX
# blocks of 16 units.
CARRY_BFLOAT = """
for s in range(TILE):
    for k in range(0, WIDTH, @LANES):
        simd.store_bfloat@HOW(half, s * @PAIRS + k // 2, simd.load(xbar, row0 + s * WIDTH + k, @LANES))
    @TAIL
product_bfloat(half, w_pairs, carry)
"""
PRODUCT_BFLOAT = '''
@numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def product_bfloat(half, w, z):
    """z[s, :] = sum over j of x[s, j] w[j, :], two j at a time."""
    for c in range(0, WIDTH, @STEP):
        @ZERO
        for j in range(@PAIRS):
            @BODY
        @STORE
'''
PRODUCT_AMX = '''
@numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def product_bfloat(half, w, z):
    """z[s, :] = sum over j of x[s, j] w[j, :], blocks of 32 j and 16 units at a time."""
    for c in range(0, WIDTH, @STEP):
        @ZERO
        for j in range(0, @PAIRS, 16):
            simd.amx_load(5, half, j, @PAIRS)
            @BODY
        @STORE
'''

CARRY_NONE = """
for i in range(TILE * WIDTH):
    carry[i] = real(0.0)
"""

DENSE_GRADIENT = """
rows = (t1 - t0) * TILE
for i in range(0, inputs, @CHANNELS):
    for r in range(rows):
        s = r % TILE
        if s < count:
            x_row = ((t0 + r // TILE) * batch + first + s) * inputs
            @FACTORS
    for c in range(0, WIDTH, @STEP):
        @START
        @GATHER
        @STORE
"""

# Rows of the segment sorted by channel, then one pass per channel with its sum in registers.
EVENT_GRADIENT = """
for j in range(inputs + 1):
    begins[j] = 0
for s in range(count):
    e_row = (first + s) * (steps + 1)
    for e in range(indptr[e_row + t0], indptr[e_row + t1]):
        simd.put(begins, simd.get(indices, e) + 1, simd.get(begins, simd.get(indices, e) + 1) + 1)
for j in range(inputs):
    begins[j + 1] += begins[j]
    row_count[j] = begins[j]
event_rows = np.empty(begins[inputs], np.int32)
for s in range(count):
    e_row = (first + s) * (steps + 1)
    for t in range(t0, t1):
        for e in range(indptr[e_row + t], indptr[e_row + t + 1]):
            place = simd.get(row_count, simd.get(indices, e))
            simd.put(event_rows, place, np.int32((t - t0) * TILE + s + base_row))
            simd.put(row_count, simd.get(indices, e), place + 1)
for j in range(inputs):
    if begins[j + 1] > begins[j]:
        for c in range(0, WIDTH, @STEP):
            @START
            @GATHER
            @STORE
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
            row_list[j * capacity + row_count[j]] = (t - t0) * TILE + s + base_row
            row_count[j] += 1
for j in range(@PRESYNAPTIC):
    if row_count[j] > 0:
        for c in range(0, WIDTH, @STEP):
            @START
            @GATHER
            @STORE
"""

# For rows of few vectors: keep the row in registers and add it to the gradient of every neuron that was active.
NARROW_SPIKE_GRADIENT = """
for t in range(t0, t1):
    for s in range(count):
        row = ((t - t0) * TILE + s + base_row) * WIDTH
        @LOAD_ROW
        for w in range(@WORDS):
            word = simd.get(@BITS, ((t + @SHIFT) * TILE + s) * @WORDS + w)
            while word != 0:
                target = (w * 64 + simd.count_trailing_zeros(word)) * WIDTH
                word &= word - np.uint64(1)
                @ADD_ROW
"""
