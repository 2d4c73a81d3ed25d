// The backward scan of one layer. A block takes SAMPLES samples back through all time steps.
//
// Going back, a thread owns up to OWNED pairs (sample, unit), pair = mine + e * THREADS = sample * WIDTH + unit, and
// keeps their gradients in registers. Without recurrence the pairs of a sample may lie in several blocks, TILES of
// them. States are computed anew, SEGMENT steps at a time, from a checkpoint and the kept currents.
//
// W_rec^T x_bar is a product over all samples of the block. For it a thread owns VECTOR columns (presynaptic units) and
// ROWS rows (postsynaptic units): the first REGISTER_ROWS of them stay in registers for the whole scan, the next
// SHARED_ROWS in shared memory, the others come from L2 at every step. The SPLITS partial sums of a column are added in
// order, so results do not depend on timing.

#define PAIRS (SAMPLES * WIDTH)
#define TILES (RECURRENT ? 1 : (PAIRS + THREADS - 1) / THREADS)
#define OWNED (RECURRENT ? (PAIRS + THREADS - 1) / THREADS : 1)
#define SUMS (DERIVED + 1 + INLINE)  // per unit: gradients of the derived values, of the bias, of W_in
#define COLUMNS (WIDTH / VECTOR)     // threads side by side
#define ALL_ROWS (SPLITS * ROWS)     // UNITS, padded
#define CHUNK 8                      // loads in flight while states are computed anew
// Steps that are fetched together on the way back. With recurrence a step is fetched during the product of the next.
#define DEPTH (RECURRENT ? 1 : 4)

#if RECURRENT
struct __align__(VECTOR * sizeof(real)) Vector {
    real at[VECTOR];
};

__device__ __forceinline__ Vector load_vector(const real* from) { return *reinterpret_cast<const Vector*>(from); }

// Adds W[row + k, columns] x_bar[sample, row + k] for the VECTOR rows whose weights are given.
__device__ __forceinline__ void add_product(
    real (&sum)[SAMPLES][VECTOR], const Vector (&weight)[VECTOR], const real* x_bar, int row) {
    #pragma unroll
    for (int s = 0; s < SAMPLES; ++s) {
        const Vector x = load_vector(x_bar + s * ALL_ROWS + row);
        #pragma unroll
        for (int k = 0; k < VECTOR; ++k) {
            #pragma unroll
            for (int v = 0; v < VECTOR; ++v) sum[s][v] = fma(weight[k].at[v], x.at[k], sum[s][v]);
        }
    }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 1) scan_vjp(
    const real* __restrict__ kept,         // [T, B, UNITS] whole current of every step
    const real* __restrict__ checkpoints,  // [ceil(T / SEGMENT), STATES, B, UNITS]
    const real* __restrict__ derived_all,  // [DERIVED, UNITS]
    const real* __restrict__ constants,    // [CONSTANTS]
    const real* __restrict__ w_rec,        // [postsynaptic ALL_ROWS, presynaptic WIDTH], padded with 0
    const real* __restrict__ input,        // [T, B, INLINE] dense input, where INLINE > 0
    const real* grad,                      // [T, B, UNITS] gradient of the outputs, or null: 0
    real* current_bar,                     // [T, B, UNITS] gradient of the currents; may be grad
    real* state_bars,                      // [STATES, B, UNITS] gradient of the final state, then of the initial one
    real* z_bars,                          // [B, UNITS] gradient of the last spikes, then of those before step 0
    real* sums_all,                        // [B, SUMS, UNITS] gradients of per-unit parameters by sample
    real* scratch,                         // [blocks, SEGMENT, STATES, PAIRS] states before the steps of a segment
    int steps, int batch) {
    const int block = blockIdx.x / TILES;
    const int mine = blockIdx.x % TILES * THREADS + threadIdx.x;
    const size_t plane = static_cast<size_t>(batch) * UNITS;
    real derived[OWNED][DERIVED];
    real constant[CONSTANTS];
    real state_bar[OWNED][STATES];
    real z_bar[OWNED];
    real derived_bar[OWNED][DERIVED] = {};
    real bias_bar[OWNED] = {};
#if INLINE
    real w_in_bar[OWNED][INLINE] = {};
#endif
    int unit[OWNED], sample[OWNED];  // padded pairs run along with the last unit or sample and store nothing
    bool stores[OWNED];
    #pragma unroll
    for (int i = 0; i < CONSTANTS; ++i) constant[i] = constants[i];
    #pragma unroll
    for (int e = 0; e < OWNED; ++e) {
        const int pair = mine + e * THREADS;
        const int h = pair % WIDTH, b = block * SAMPLES + pair / WIDTH;
        unit[e] = h < UNITS ? h : UNITS - 1;
        sample[e] = b < batch ? b : batch - 1;
        stores[e] = pair < PAIRS && h < UNITS && b < batch;
        const size_t at = row_of(0, sample[e], batch) + unit[e];
        #pragma unroll
        for (int i = 0; i < DERIVED; ++i) derived[e][i] = derived_all[i * UNITS + unit[e]];
        #pragma unroll
        for (int i = 0; i < STATES; ++i) state_bar[e][i] = state_bars[i * plane + at];
        z_bar[e] = SPIKING ? z_bars[at] : real(0);
    }
#if RECURRENT
    extern __shared__ __align__(16) unsigned char shared[];
    real* shared_rows = reinterpret_cast<real*>(shared);               // [SHARED_ROWS, SPLITS, WIDTH]
    real* x_bars = shared_rows + SHARED_ROWS * SPLITS * WIDTH;         // [SAMPLES, ALL_ROWS]
    real* partial = x_bars + SAMPLES * ALL_ROWS;                       // [SPLITS, SAMPLES, WIDTH]
    const int column = threadIdx.x % COLUMNS * VECTOR, split = threadIdx.x / COLUMNS;
    const bool multiplies = split < SPLITS;
    const int first_row = split * ROWS;
    const real* own_rows = w_rec + static_cast<size_t>(multiplies ? first_row : 0) * WIDTH + column;
    Vector register_rows[REGISTER_ROWS + 1];
    #pragma unroll
    for (int r = 0; r < REGISTER_ROWS; ++r) register_rows[r] = load_vector(own_rows + r * WIDTH);
    if (multiplies) {
        for (int r = 0; r < SHARED_ROWS; ++r) {
            *reinterpret_cast<Vector*>(shared_rows + (r * SPLITS + split) * WIDTH + column) =
                load_vector(own_rows + (REGISTER_ROWS + r) * WIDTH);
        }
    }
    for (int i = threadIdx.x; i < SAMPLES * ALL_ROWS; i += THREADS) x_bars[i] = real(0);
    __syncthreads();
#endif
    real* own_scratch = scratch + static_cast<size_t>(block) * SEGMENT * STATES * PAIRS + mine;
    for (int end = steps; end > 0;) {
        const int start = (end - 1) / SEGMENT * SEGMENT;
        // The states before every step of the segment.
        #pragma unroll
        for (int e = 0; e < OWNED; ++e) {
            if (mine + e * THREADS >= PAIRS) continue;
            real state[STATES];
            #pragma unroll
            for (int i = 0; i < STATES; ++i) {
                state[i] = checkpoints[(static_cast<size_t>(start / SEGMENT) * STATES + i) * plane
                                       + row_of(0, sample[e], batch) + unit[e]];
            }
            for (int t = start; t < end; t += CHUNK) {
                real x[CHUNK];
                #pragma unroll
                for (int k = 0; k < CHUNK; ++k) {
                    x[k] = kept[row_of(t + k < end ? t + k : end - 1, sample[e], batch) + unit[e]];
                }
                #pragma unroll
                for (int k = 0; k < CHUNK; ++k) {
                    if (t + k >= end) break;
                    #pragma unroll
                    for (int i = 0; i < STATES; ++i) {
                        own_scratch[((t + k - start) * STATES + i) * PAIRS + e * THREADS] = state[i];
                    }
                    neuron_step(x[k], state, derived[e], constant);
                }
            }
        }
        // Back through the segment. With recurrence there is one turn more than steps: a turn fetches step `last` and
        // multiplies for the step after it, whose x_bars are complete.
        for (int last = end - 1; last >= start - RECURRENT; last -= DEPTH) {
            real state[DEPTH][OWNED][STATES], slope[DEPTH][OWNED][SLOPES ? SLOPES : 1];
            real x[DEPTH][OWNED], out_bar[DEPTH][OWNED];
#if INLINE
            real channel[DEPTH][OWNED][INLINE];
#endif
            #pragma unroll
            for (int k = 0; k < DEPTH; ++k) {
                const int t = last - k;
                if (t < start) break;
                #pragma unroll
                for (int e = 0; e < OWNED; ++e) {
                    const bool owned = mine + e * THREADS < PAIRS;
                    const size_t at = row_of(t, sample[e], batch) + unit[e];
                    #pragma unroll
                    for (int i = 0; i < STATES; ++i) {
                        const int place = ((t - start) * STATES + i) * PAIRS + e * THREADS;
                        state[k][e][i] = owned ? own_scratch[place] : real(0);
                    }
                    x[k][e] = kept[at];
                    out_bar[k][e] = grad ? grad[at] : real(0);
#if INLINE
                    #pragma unroll
                    for (int i = 0; i < INLINE; ++i) {
                        channel[k][e][i] = input[(static_cast<size_t>(t) * batch + sample[e]) * INLINE + i];
                    }
#endif
                }
            }
#if RECURRENT
            if (last + 1 < end && multiplies) {
                real sum[SAMPLES][VECTOR] = {};
                #pragma unroll
                for (int r = 0; r < REGISTER_ROWS; r += VECTOR) {
                    Vector weight[VECTOR];
                    #pragma unroll
                    for (int v = 0; v < VECTOR; ++v) weight[v] = register_rows[r + v];
                    add_product(sum, weight, x_bars, first_row + r);
                }
                #pragma unroll 2
                for (int r = 0; r < SHARED_ROWS; r += VECTOR) {
                    Vector weight[VECTOR];
                    #pragma unroll
                    for (int v = 0; v < VECTOR; ++v) {
                        weight[v] = load_vector(shared_rows + ((r + v) * SPLITS + split) * WIDTH + column);
                    }
                    add_product(sum, weight, x_bars, first_row + REGISTER_ROWS + r);
                }
                #pragma unroll 2
                for (int r = REGISTER_ROWS + SHARED_ROWS; r < ROWS; r += VECTOR) {
                    Vector weight[VECTOR];
                    #pragma unroll
                    for (int v = 0; v < VECTOR; ++v) weight[v] = load_vector(own_rows + (r + v) * WIDTH);
                    add_product(sum, weight, x_bars, first_row + r);
                }
                #pragma unroll
                for (int s = 0; s < SAMPLES; ++s) {
                    Vector whole;
                    #pragma unroll
                    for (int v = 0; v < VECTOR; ++v) whole.at[v] = sum[s][v];
                    *reinterpret_cast<Vector*>(partial + (split * SAMPLES + s) * WIDTH + column) = whole;
                }
            }
#endif
#if SLOPES
            #pragma unroll
            for (int k = 0; k < DEPTH; ++k) {
                if (last - k < start) break;
                #pragma unroll
                for (int e = 0; e < OWNED; ++e) {
                    neuron_slopes(x[k][e], state[k][e], derived[e], constant, slope[k][e]);
                }
            }
#endif
#if RECURRENT
            if (last + 1 < end) {
                __syncthreads();
                #pragma unroll
                for (int e = 0; e < OWNED; ++e) {
                    const int pair = mine + e * THREADS;
                    z_bar[e] = real(0);
                    #pragma unroll 8
                    for (int p = 0; p < SPLITS; ++p) z_bar[e] += pair < PAIRS ? partial[p * PAIRS + pair] : real(0);
                }
            }
            if (last < start) break;
#endif
            #pragma unroll
            for (int k = 0; k < DEPTH; ++k) {
                const int t = last - k;
                if (t < start) break;
                #pragma unroll
                for (int e = 0; e < OWNED; ++e) {
                    real x_bar = real(0);
                    neuron_adjoint(x[k][e], state[k][e], derived[e], constant, slope[k][e], out_bar[k][e] + z_bar[e],
                                   state_bar[e], derived_bar[e], x_bar);
                    z_bar[e] = real(0);
                    bias_bar[e] += x_bar;
#if INLINE
                    #pragma unroll
                    for (int i = 0; i < INLINE; ++i) w_in_bar[e][i] = fma(channel[k][e][i], x_bar, w_in_bar[e][i]);
#endif
                    if (stores[e]) current_bar[row_of(t, sample[e], batch) + unit[e]] = x_bar;
#if RECURRENT
                    const int pair = mine + e * THREADS;
                    if (pair < PAIRS && pair % WIDTH < UNITS) x_bars[pair / WIDTH * ALL_ROWS + unit[e]] = x_bar;
#endif
                }
            }
#if RECURRENT
            __syncthreads();
#endif
        }
        end = start;
    }
    #pragma unroll
    for (int e = 0; e < OWNED; ++e) {
        if (!stores[e]) continue;
        const size_t at = row_of(0, sample[e], batch) + unit[e];
        #pragma unroll
        for (int i = 0; i < STATES; ++i) state_bars[i * plane + at] = state_bar[e][i];
        if (SPIKING) z_bars[at] = z_bar[e];
        real* sums = sums_all + static_cast<size_t>(sample[e]) * SUMS * UNITS + unit[e];
        #pragma unroll
        for (int i = 0; i < DERIVED; ++i) sums[i * UNITS] = derived_bar[e][i];
        sums[DERIVED * UNITS] = bias_bar[e];
#if INLINE
        #pragma unroll
        for (int i = 0; i < INLINE; ++i) sums[(DERIVED + 1 + i) * UNITS] = w_in_bar[e][i];
#endif
    }
}
