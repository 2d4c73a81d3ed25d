"""What the JSON files of a run folder may hold."""

from __future__ import annotations

from brfkit.io.schema import COUNT, MEASURED, NUMBER, TEXT, Value

_NONE_OR_TEXT = Value((str,), none=True)
_SIZE = Value((int,), 1, 1 << 53)
_MEASURED = Value(NUMBER, finite=False, none=True)
_AMOUNT = Value(NUMBER, 0)

RUN = {
    "parameters": _SIZE,
    "backend": TEXT,
    "steps": _SIZE,
    "channels": _SIZE,
    "classes": _SIZE,
    "active_inputs": _AMOUNT,
    "data_sha256": Value((dict,)),
    "versions": Value((dict,)),
    "git_commit": _NONE_OR_TEXT,
    "command": Value((list,), items=TEXT),
}
"""``run.json``; a run may say more."""

RESULT = {
    "run_dir": TEXT,
    "dataset": TEXT,
    "neuron": TEXT,
    "parameters": _SIZE,
    "epochs": COUNT,
    "best_epoch": COUNT,
    "test_accuracy": _MEASURED,
    "test_loss": _MEASURED,
    "spikes_per_sample": _MEASURED,
    "seconds": MEASURED,
    "backend": TEXT,
    "peak_memory_mib": _MEASURED,
    "diverged": _NONE_OR_TEXT,
    "stopped": _NONE_OR_TEXT,
    "spikes_by_layer": Value((list,), items=_AMOUNT, none=True),
    "notes": Value((list,), items=TEXT),
    "frozen_weights": COUNT,
    "silent": Value((bool,)),
}
"""``result.json``; a run may say more."""

SCHEMAS = {"run.json": RUN, "result.json": RESULT}
"""By the name of the file."""
