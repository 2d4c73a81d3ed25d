// Runs the blocks of a grid one after the other and the threads of a block as fibers.
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "cuda_shim.h"

ShimIndex threadIdx, blockIdx, blockDim, gridDim;

namespace {

constexpr int MAX_THREADS = 1024, WARP = 32;
constexpr size_t STACK = 128 * 1024, SHARED = 227 * 1024, GUARD = 256;

struct Fiber {
    jmp_buf place;
    ucontext_t start;
    bool started, done;
};
// Threads that meet: the last one to arrive lets all of them go on.
struct Meeting {
    int arrived, expected;
    unsigned generation;
};

Fiber fibers[MAX_THREADS];
unsigned char* stacks = nullptr;
Meeting block;
Meeting warps[MAX_THREADS / WARP];
unsigned votes[MAX_THREADS / WARP], ballots[MAX_THREADS / WARP];
jmp_buf scheduler;
int current;
unsigned long progress;
ShimCall kernel;
void** kernel_arguments;

void yield() {
    if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

// True in the last thread that arrives; the others return when it has called `open`.
bool arrive(Meeting& m) {
    if (++m.arrived == m.expected) return true;
    const unsigned mine = m.generation;
    while (m.generation == mine) yield();
    return false;
}

void open(Meeting& m) {
    m.arrived = 0;
    ++m.generation;
    ++progress;
}

void run_fiber() {
    kernel(kernel_arguments);
    fibers[current].done = true;
    ++progress;
    _longjmp(scheduler, 1);
}

// The order in which threads take their turns: ascending, descending, or shuffled anew every round.
void make_order(int* order, int threads, int kind, uint64_t& seed) {
    for (int i = 0; i < threads; ++i) order[i] = kind == 1 ? threads - 1 - i : i;
    if (kind != 2) return;
    for (int i = threads - 1; i > 0; --i) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        const int j = static_cast<int>((seed >> 33) % (i + 1));
        const int kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

bool run_block(int threads, int kind, uint64_t& seed) {
    static int order[MAX_THREADS];
    block = {0, threads, 0};
    for (int w = 0; w * WARP < threads; ++w) warps[w] = {0, threads - w * WARP < WARP ? threads - w * WARP : WARP, 0};
    memset(votes, 0, sizeof votes);
    for (int i = 0; i < threads; ++i) fibers[i].started = fibers[i].done = false;
    static volatile int left;
    left = threads;
    while (left > 0) {
        make_order(order, threads, kind, seed);
        const unsigned long before = progress;
        left = 0;
        for (volatile int i = 0; i < threads; i = i + 1) {
            current = order[i];
            Fiber& fiber = fibers[current];
            if (fiber.done) continue;
            left = left + 1;
            threadIdx = {static_cast<unsigned>(current), 0, 0};
            if (_setjmp(scheduler)) continue;
            if (fiber.started) _longjmp(fiber.place, 1);
            fiber.started = true;
            getcontext(&fiber.start);
            fiber.start.uc_stack.ss_sp = stacks + STACK * current;
            fiber.start.uc_stack.ss_size = STACK;
            fiber.start.uc_link = nullptr;
            makecontext(&fiber.start, run_fiber, 0);
            setcontext(&fiber.start);
        }
        if (left > 0 && progress == before) return false;  // every thread waits for one that never comes
    }
    return true;
}

}  // namespace

alignas(16) unsigned char shared[SHARED + GUARD];

void shim_barrier() {
    if (arrive(block)) open(block);
}

unsigned shim_ballot(int predicate) {
    const int w = threadIdx.x / WARP;
    if (predicate) votes[w] |= 1u << (threadIdx.x % WARP);
    if (arrive(warps[w])) {
        ballots[w] = votes[w];
        votes[w] = 0;
        open(warps[w]);
    }
    return ballots[w];
}

// 0 done; 1 too many threads or too much shared memory; 2 a barrier that not all threads reach; 3 shared memory
// written beyond what was asked for. `kind` is the order of the threads.
extern "C" int shim_launch(ShimCall call, int blocks, int threads, size_t bytes, void** arguments, int kind) {
    if (threads < 1 || threads > MAX_THREADS || bytes > SHARED) return 1;
    if (!stacks) stacks = static_cast<unsigned char*>(malloc(STACK * MAX_THREADS));
    kernel = call;
    kernel_arguments = arguments;
    gridDim = {static_cast<unsigned>(blocks), 1, 1};
    blockDim = {static_cast<unsigned>(threads), 1, 1};
    uint64_t seed = 12345;
    for (int b = 0; b < blocks; ++b) {
        blockIdx = {static_cast<unsigned>(b), 0, 0};
        memset(shared, 0xff, bytes);  // NaN, so that what was never written is seen in the result
        memset(shared + bytes, 0xa5, GUARD);
        if (!run_block(threads, kind, seed)) return 2;
        for (size_t i = 0; i < GUARD; ++i) {
            if (shared[bytes + i] != 0xa5) return 3;
        }
    }
    return 0;
}
