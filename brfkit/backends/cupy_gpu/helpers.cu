// Kernels around the scans that know no neuron. Rows are pairs (step, sample) of an array [T, B, ...].

#define THREADS 256
#define LANES 32

// Thread x of a row and the rows of a block, for rows of `units` columns.
struct Place {
    long long row;
    int column, stride;
};

__device__ __forceinline__ Place place(int units) {
    const int padded = (units + LANES - 1) / LANES * LANES;
    const int stride = padded < THREADS ? padded : THREADS;
    const int rows = THREADS / stride;
    Place p;
    p.row = static_cast<long long>(blockIdx.x) * rows + threadIdx.x / stride;
    if (static_cast<int>(threadIdx.x) >= rows * stride) p.row = -1;
    p.column = threadIdx.x % stride;
    p.stride = stride;
    return p;
}

// Currents [T, B, units] of events: the bias and rows of W_in for the active channels. Sample b has the events
// b % samples and the weights b / samples, see scan.cu.
extern "C" __global__ void __launch_bounds__(THREADS) gather_events(
    const long long* __restrict__ indptr,  // [B, T + 1]
    const int* __restrict__ indices,
    const real* __restrict__ w_in,  // [sets, channels, units]
    const real* __restrict__ bias,  // [sets, units] or null
    real* currents, int steps, int batch, int samples, int channels, int units) {
    const Place p = place(units);
    if (p.row < 0 || p.row >= static_cast<long long>(steps) * batch) return;
    const int b = p.row % batch, set = b / samples;
    const long long* range = indptr + static_cast<long long>(b % samples) * (steps + 1) + p.row / batch;
    const long long begin = range[0], end = range[1];
    w_in += static_cast<size_t>(set) * channels * units;
    for (int h = p.column; h < units; h += p.stride) {
        real sum = bias ? bias[set * units + h] : real(0);
        #pragma unroll 4
        for (long long i = begin; i < end; ++i) {
            sum += __ldg(w_in + static_cast<size_t>(__ldg(indices + i)) * units + h);
        }
        currents[p.row * units + h] = sum;
    }
}

// Currents [T * B, units] of the spikes of the layer below.
extern "C" __global__ void __launch_bounds__(THREADS) gather_spikes(
    const unsigned* __restrict__ bits,  // [rows, words]
    const real* __restrict__ w_in,      // [sets, below, units]
    const real* __restrict__ bias,      // [sets, units] or null
    real* currents, long long rows, int batch, int samples, int below, int units) {
    const Place p = place(units);
    if (p.row < 0 || p.row >= rows) return;
    const int words = (below + 31) / 32, set = p.row % batch / samples;
    w_in += static_cast<size_t>(set) * below * units;
    for (int h = p.column; h < units; h += p.stride) {
        real sum = bias ? bias[set * units + h] : real(0);
        for (int w = 0; w < words; ++w) {
            unsigned word = __ldg(bits + p.row * words + w);
            while (word) {
                const int j = w * 32 + __ffs(word) - 1;
                word &= word - 1u;
                sum += __ldg(w_in + static_cast<size_t>(j) * units + h);
            }
        }
        currents[p.row * units + h] = sum;
    }
}

// Spikes [rows, units] as 0 and 1.
extern "C" __global__ void __launch_bounds__(THREADS) unpack_spikes(
    const unsigned* __restrict__ bits, real* z, long long rows, int units) {
    const Place p = place(units);
    if (p.row < 0 || p.row >= rows) return;
    const int words = (units + 31) / 32;
    for (int h = p.column; h < units; h += p.stride) {
        z[p.row * units + h] = __ldg(bits + p.row * words + h / 32) >> (h % 32) & 1u ? real(1) : real(0);
    }
}

// The inverse: a thread makes one word.
extern "C" __global__ void __launch_bounds__(THREADS) pack_spikes(
    const real* __restrict__ z, unsigned* bits, int rows, int units) {
    const int words = (units + 31) / 32;
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= static_cast<long long>(rows) * words) return;
    const long long row = i / words;
    const int first = i % words * 32;
    unsigned word = 0u;
    for (int k = 0; k < 32 && first + k < units; ++k) {
        if (z[row * units + first + k] != real(0)) word |= 1u << k;
    }
    bits[i] = word;
}

// Events of the steps [first, first + count) as a dense array [count, B, channels], which holds 0 before.
extern "C" __global__ void __launch_bounds__(THREADS) spread_events(
    const long long* __restrict__ indptr, const int* __restrict__ indices, real* x,
    int first, int count, int steps, int batch, int channels) {
    const long long row = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (row >= static_cast<long long>(count) * batch) return;
    const long long* range = indptr + (row % batch) * (steps + 1) + first + row / batch;
    for (long long i = range[0]; i < range[1]; ++i) x[row * channels + indices[i]] += real(1);
}

// Matrices [count, rows, columns], or their transposes, put into the corners of padded ones [to_rows, to_columns].
extern "C" __global__ void __launch_bounds__(THREADS) arrange(
    const real* __restrict__ from, real* to, int count, int rows, int columns, int to_rows, int to_columns,
    int transpose) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    const long long size = static_cast<long long>(to_rows) * to_columns;
    if (i >= count * size) return;
    const int at = i % size;
    const int r = transpose ? at % to_columns : at / to_columns;
    const int c = transpose ? at / to_columns : at % to_columns;
    from += static_cast<size_t>(i / size) * rows * columns;
    to[i] = r < rows && c < columns ? __ldg(from + static_cast<size_t>(r) * columns + c) : real(0);
}

// Spikes of each sample, from those of every 32 units.
extern "C" __global__ void __launch_bounds__(THREADS) count_spikes(
    const int* __restrict__ counts, long long* totals, int batch, int words) {
    const int b = blockIdx.x * THREADS + threadIdx.x;
    if (b >= batch) return;
    long long total = 0;
    for (int w = 0; w < words; ++w) total += counts[static_cast<size_t>(b) * words + w];
    totals[b] = total;
}

// Column sums of [rows, columns], always added in the same order.
extern "C" __global__ void __launch_bounds__(THREADS) sum_rows(
    const real* __restrict__ from, real* to, int rows, int columns) {
    extern __shared__ __align__(16) unsigned char shared[];
    real* sums = reinterpret_cast<real*>(shared);  // [THREADS / LANES, LANES]
    const int column = blockIdx.x * LANES + threadIdx.x % LANES;
    real sum = real(0);
    if (column < columns) {
        #pragma unroll 8
        for (int r = threadIdx.x / LANES; r < rows; r += THREADS / LANES) {
            sum += from[static_cast<size_t>(r) * columns + column];
        }
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= LANES || column >= columns) return;
    sum = real(0);
    for (int i = 0; i < THREADS / LANES; ++i) sum += sums[i * LANES + threadIdx.x];
    to[column] = sum;
}

// A gradient without masked weights.
extern "C" __global__ void __launch_bounds__(THREADS) keep_masked(
    const real* __restrict__ values, const real* __restrict__ mask,  // [count], 0 is masked
    real* kept, long long count) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i < count) kept[i] = mask[i] != real(0) ? values[i] : real(0);
}
