// What both scans share. Everything in capitals is defined above, when a layer is compiled.

#define WORDS ((UNITS + 31) / 32)  // 32-bit words that hold the spikes of a sample at a step
#define WIDTH (WORDS * 32)         // units, padded to whole warps

// Offset of row [t, b] of an array [T, B, UNITS].
__device__ __forceinline__ size_t row_of(int t, int b, int batch) {
    return (static_cast<size_t>(t) * batch + b) * UNITS;
}
