"""Runs many kernel calls in native code, on several threads, without Python in between.

Work comes as tasks, each a list of calls that follow each other. Every thread takes the next task that is left.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.numba_cpu.native import build
from brfkit.backends.threads import run_native

# data: next task, tasks, starts of the tasks' calls, calls (function, table), next worker, whether memory ran out.
_TEXT = """
define void @drive(ptr %data) {
entry:
  %tasks.at = getelementptr i64, ptr %data, i64 1
  %starts.at = getelementptr i64, ptr %data, i64 2
  %calls.at = getelementptr i64, ptr %data, i64 3
  %worker.at = getelementptr i64, ptr %data, i64 4
  %failed.at = getelementptr i64, ptr %data, i64 5
  %tasks = load i64, ptr %tasks.at
  %starts = load ptr, ptr %starts.at
  %calls = load ptr, ptr %calls.at
  %worker = atomicrmw add ptr %worker.at, i64 1 seq_cst
  br label %next
next:
  %task = atomicrmw add ptr %data, i64 1 seq_cst
  %more = icmp slt i64 %task, %tasks
  br i1 %more, label %begin, label %done
begin:
  %first.at = getelementptr i64, ptr %starts, i64 %task
  %first = load i64, ptr %first.at
  %end.at = getelementptr i64, ptr %first.at, i64 1
  %end = load i64, ptr %end.at
  br label %head
head:
  %i = phi i64 [ %first, %begin ], [ %after, %call ]
  %left = icmp slt i64 %i, %end
  br i1 %left, label %call, label %next
call:
  %pair = shl i64 %i, 1
  %function.at = getelementptr i64, ptr %calls, i64 %pair
  %table.at = getelementptr i64, ptr %function.at, i64 1
  %function = load ptr, ptr %function.at
  %table = load ptr, ptr %table.at
  %status = call i64 %function(ptr %table, i64 %worker)
  %unused = atomicrmw or ptr %failed.at, i64 %status seq_cst
  %after = add i64 %i, 1
  br label %head
done:
  ret void
}
"""


@lru_cache(maxsize=1)
def _drive() -> tuple[int, build.Library]:
    key = build.key("drive", (_TEXT,))
    content = build.OBJECTS.read(key)
    if content is None:
        content = build.make_object(_TEXT)
        build.OBJECTS.write(key, content)
    library = build.Library(content)
    return library.address("drive"), library


def drive(starts: NDArray[np.int64], calls: NDArray[np.int64], threads: int) -> None:
    """Run tasks.

    Args:
        starts: [tasks + 1], the first call of each task.
        calls: [calls, 2], addresses of a kernel and of its table of arguments.
        threads: at most so many. Each has a number below it, which it hands to the kernels.

    Raises:
        MemoryError: a kernel found no memory.
    """
    tasks = len(starts) - 1
    if tasks < 1:
        return
    data = np.array([0, tasks, starts.ctypes.data, calls.ctypes.data, 0, 0], np.int64)
    address, _library = _drive()  # two threads that come first each load one: this one stays until its call is over
    run_native(address, data.ctypes.data, min(threads, tasks))
    if data[5]:
        raise MemoryError("no memory is left for the scan")
