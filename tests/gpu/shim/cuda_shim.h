// Enough of CUDA for g++ to compile the kernels as they are. The threads of a block are fibers that take turns, so a
// barrier is a place where every fiber waits for the others; fibers.cpp runs them.
#pragma once

#include <math.h>
#include <stddef.h>

struct ShimIndex {
    unsigned x, y, z;
};
extern ShimIndex threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __shared__  // dynamic shared memory only: `extern __shared__ unsigned char shared[]` is a global of fibers.cpp
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

extern unsigned char shared[];

void shim_barrier();
unsigned shim_ballot(int predicate);

inline void __syncthreads() { shim_barrier(); }
inline unsigned __ballot_sync(unsigned, int predicate) { return shim_ballot(predicate); }
inline int __popc(unsigned word) { return __builtin_popcount(word); }
inline int __ffs(unsigned word) { return __builtin_ffs(static_cast<int>(word)); }
template <class T>
inline T __ldg(const T* from) { return *from; }

// A kernel with its arguments as an array of pointers, as cuLaunchKernel takes them.
using ShimCall = void (*)(void** arguments);

template <unsigned... I>
struct ShimIndices {};
template <unsigned N, unsigned... I>
struct ShimCount : ShimCount<N - 1, N - 1, I...> {};
template <unsigned... I>
struct ShimCount<0, I...> {
    using type = ShimIndices<I...>;
};
template <class... A, unsigned... I>
inline void shim_apply(void (*kernel)(A...), void** arguments, ShimIndices<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}
template <class... A>
inline void shim_call(void (*kernel)(A...), void** arguments) {
    shim_apply(kernel, arguments, typename ShimCount<sizeof...(A)>::type{});
}
template <class... A>
constexpr int shim_arguments(void (*)(A...)) { return sizeof...(A); }

#define SHIM_EXPORT(kernel)                                                                        \
    extern "C" void shim_call_##kernel(void** arguments) { shim_call(kernel, arguments); }         \
    extern "C" int shim_arguments_##kernel() { return shim_arguments(kernel); }
