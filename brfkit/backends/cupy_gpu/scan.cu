// The forward scan of one layer. A block runs one sample through all time steps; a thread owns the units
// mine + e * THREADS and keeps their states in registers. Rows of W_rec come through the L1 cache. Units that do not
// hear each other may lie in several blocks, TILES per sample.
//
// One launch may run the same input through several sets of weights, as the points of an error surface need it: sample b
// of the B then has the weights b / samples and the input b % samples. With one set, samples is B.

#define TILES (RECURRENT ? 1 : (WIDTH + THREADS - 1) / THREADS)
#define OWNED (RECURRENT ? (WIDTH + THREADS - 1) / THREADS : 1)  // units of a thread
#define AHEAD 8                                  // rows of W_rec in flight
// Steps whose input is fetched together, while the steps before them are computed. With recurrence one step takes
// longer than a fetch; without, several fetches must be in flight.
#define DEPTH (RECURRENT ? 1 : 8)
#define WORDS_BYTES ((WORDS * 4 + 15) / 16 * 16)
#define MIN_BLOCKS (THREADS < 768 ? 768 / THREADS : 1)  // per multiprocessor: up to 80 registers a thread

#if RECURRENT
struct __align__(2 * AHEAD) Numbers {
    unsigned short at[AHEAD];
};

// Numbers of the units that spiked, in ascending order, followed by AHEAD - 1 times UNITS: a row of zeros.
__device__ __forceinline__ int list_spikes(const unsigned* words, unsigned short* list) {
    int total = 0;
    int before[OWNED] = {};
    #pragma unroll
    for (int w = 0; w < WORDS; ++w) {
        #pragma unroll
        for (int e = 0; e < OWNED; ++e) {
            if (w == (threadIdx.x + e * THREADS) / 32) before[e] = total;
        }
        total += __popc(words[w]);
    }
    #pragma unroll
    for (int e = 0; e < OWNED; ++e) {
        const int unit = threadIdx.x + e * THREADS;
        if (unit < UNITS) {
            const unsigned word = words[unit / 32];
            const unsigned bit = 1u << (unit % 32);
            if (word & bit) list[before[e] + __popc(word & (bit - 1u))] = unit;
        }
    }
    if (threadIdx.x < AHEAD - 1) list[total + threadIdx.x] = UNITS;
    return total;
}

__device__ __forceinline__ real add_rows(
    real sum, const unsigned short* list, int count, const real* __restrict__ w_rec, int unit) {
    for (int i = 0; i < count; i += AHEAD) {
        const Numbers fired = *reinterpret_cast<const Numbers*>(list + i);
        real row[AHEAD];
        #pragma unroll
        for (int k = 0; k < AHEAD; ++k) row[k] = __ldg(w_rec + static_cast<size_t>(fired.at[k]) * UNITS + unit);
        #pragma unroll
        for (int k = 0; k < AHEAD; ++k) sum += row[k];
    }
    return sum;
}
#endif

// What a thread needs of the input of a step.
#if INLINE
__device__ __forceinline__ void fetch(
    real (&to)[INLINE], const real* input, int t, int b, int samples, const int (&own)[OWNED]) {
    #pragma unroll
    for (int i = 0; i < INLINE; ++i) to[i] = input[(static_cast<size_t>(t) * samples + b) * INLINE + i];
}
#else
__device__ __forceinline__ void fetch(
    real (&to)[OWNED], const real* input, int t, int b, int batch, const int (&own)[OWNED]) {
    #pragma unroll
    for (int e = 0; e < OWNED; ++e) to[e] = input[row_of(t, b, batch) + own[e]];
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) scan(
    const real* input,                     // INLINE > 0: dense [T, samples, INLINE]; else currents [T, B, UNITS]
    const real* __restrict__ w_in,         // [sets, INLINE, UNITS]
    const real* __restrict__ bias,         // [sets, UNITS], or null: 0, or in the currents already
    const real* __restrict__ w_rec,        // [sets, presynaptic UNITS + 1, UNITS], last row 0
    const real* __restrict__ derived_all,  // [DERIVED, sets, UNITS]
    const real* __restrict__ constants,    // [CONSTANTS]
    real* states,                          // [STATES, B, UNITS], before and after
    unsigned* bits,                        // [T + 1, B, WORDS], row 0: spikes before the first step
    int* counts,                           // [B, WORDS]: spikes of 32 units over all steps
    real* out,                             // [T, B, UNITS], of a neuron without spikes
    real* kept,                            // [T, B, UNITS] whole current of every step, or null; may be input
    real* checkpoints,                     // [ceil(T / SEGMENT), STATES, B, UNITS] states, or null
    real* records,                         // [STATES, T, B, UNITS] states after every step, or null
    int steps, int batch, int samples) {
    const int b = blockIdx.x / TILES;
    const int set = b / samples;
    const int mine = blockIdx.x % TILES * THREADS + threadIdx.x;
    const int sets = batch / samples;
    const size_t plane = static_cast<size_t>(batch) * UNITS;
    real state[OWNED][STATES];
    real derived[OWNED][DERIVED];
    real offset[OWNED];
    real constant[CONSTANTS];
    int own[OWNED];  // padded threads run along with the last unit and store nothing
    #pragma unroll
    for (int i = 0; i < CONSTANTS; ++i) constant[i] = constants[i];
    #pragma unroll
    for (int e = 0; e < OWNED; ++e) {
        const int unit = mine + e * THREADS;
        own[e] = unit < UNITS ? unit : UNITS - 1;
        #pragma unroll
        for (int i = 0; i < STATES; ++i) state[e][i] = states[i * plane + row_of(0, b, batch) + own[e]];
        #pragma unroll
        for (int i = 0; i < DERIVED; ++i) derived[e][i] = derived_all[(i * sets + set) * UNITS + own[e]];
        offset[e] = bias ? bias[set * UNITS + own[e]] : real(0);
    }
    // Input of the next DEPTH steps: channels of the sample, or ready currents of the thread's units.
#if INLINE
    const int from = b % samples, rows = samples;
    real weight[OWNED][INLINE];
    real ahead[DEPTH][INLINE];
    #pragma unroll
    for (int e = 0; e < OWNED; ++e) {
        #pragma unroll
        for (int i = 0; i < INLINE; ++i) weight[e][i] = w_in[(set * INLINE + i) * UNITS + own[e]];
    }
#else
    const int from = b, rows = batch;
    real ahead[DEPTH][OWNED];
#endif
    #pragma unroll
    for (int k = 0; k < DEPTH; ++k) {
        if (k < steps) fetch(ahead[k], input, k, from, rows, own);
    }
#if RECURRENT
    w_rec += static_cast<size_t>(set) * (UNITS + 1) * UNITS;
    extern __shared__ __align__(16) unsigned char shared[];
    unsigned* words = reinterpret_cast<unsigned*>(shared);                       // [WORDS] spikes of the last step
    unsigned short* list = reinterpret_cast<unsigned short*>(shared + WORDS_BYTES);  // [UNITS + AHEAD]
    if (threadIdx.x < WORDS) words[threadIdx.x] = bits[static_cast<size_t>(b) * WORDS + threadIdx.x];
    __syncthreads();
    int fired = list_spikes(words, list);
    __syncthreads();
#endif
#if SPIKING
    int count[OWNED] = {};
#endif
    for (int first = 0; first < steps; first += DEPTH) {
        real current[DEPTH][OWNED];
        #pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            #pragma unroll
            for (int e = 0; e < OWNED; ++e) {
#if INLINE
                current[k][e] = offset[e];
                #pragma unroll
                for (int i = 0; i < INLINE; ++i) current[k][e] = fma(weight[e][i], ahead[k][i], current[k][e]);
#else
                current[k][e] = ahead[k][e] + offset[e];
#endif
            }
        }
        #pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            if (first + DEPTH + k < steps) fetch(ahead[k], input, first + DEPTH + k, from, rows, own);
        }
        #pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            const int t = first + k;
            if (t >= steps) break;
            const size_t row = row_of(t, b, batch);
            if (checkpoints && t % SEGMENT == 0) {
                #pragma unroll
                for (int e = 0; e < OWNED; ++e) {
                    if (mine + e * THREADS >= UNITS) continue;
                    real* to = checkpoints + static_cast<size_t>(t / SEGMENT) * STATES * plane;
                    #pragma unroll
                    for (int i = 0; i < STATES; ++i) to[i * plane + row_of(0, b, batch) + own[e]] = state[e][i];
                }
            }
            #pragma unroll
            for (int e = 0; e < OWNED; ++e) {
                const int unit = mine + e * THREADS;
                const bool real_unit = unit < UNITS;
                real x = current[k][e];
#if RECURRENT
                x = add_rows(x, list, fired, w_rec, own[e]);
#endif
                if (kept && real_unit) kept[row + own[e]] = x;
                const real output = neuron_step(x, state[e], derived[e], constant);
                if (records && real_unit) {
                    #pragma unroll
                    for (int i = 0; i < STATES; ++i) records[i * plane * steps + row + own[e]] = state[e][i];
                }
#if SPIKING
                const unsigned mask = __ballot_sync(0xffffffffu, real_unit && output > real(0.5));
                count[e] += __popc(mask);
                if (threadIdx.x % 32 == 0 && unit < WIDTH) {
                    bits[(static_cast<size_t>(t + 1) * batch + b) * WORDS + unit / 32] = mask;
#if RECURRENT
                    words[unit / 32] = mask;
#endif
                }
#else
                if (real_unit) out[row + own[e]] = output;
#endif
            }
#if RECURRENT
            __syncthreads();
            fired = list_spikes(words, list);
            __syncthreads();
#endif
        }
    }
    #pragma unroll
    for (int e = 0; e < OWNED; ++e) {
        const int unit = mine + e * THREADS;
#if SPIKING
        if (threadIdx.x % 32 == 0 && unit < WIDTH) counts[b * WORDS + unit / 32] = count[e];
#endif
        if (unit >= UNITS) continue;
        #pragma unroll
        for (int i = 0; i < STATES; ++i) states[i * plane + row_of(0, b, batch) + own[e]] = state[e][i];
    }
}
