"""The native function that hands out tiles to threads."""

import weakref

import numpy as np

from brfkit.backends.numba_cpu.native import driver


class Library:
    pass


def test_the_loaded_code_outlives_its_call(monkeypatch):
    """Threads that scan first at the same time each load the driver; what only one of them holds must not be freed."""
    held = []

    def load():
        library = Library()
        held.append(weakref.ref(library))
        return 1, library

    monkeypatch.setattr(driver, "_drive", load)
    monkeypatch.setattr(driver, "run_native", lambda *_: held.append(held[0]() is not None))
    driver.drive(np.array([0, 1]), np.zeros((1, 2), np.int64), 1)
    assert held[1]
