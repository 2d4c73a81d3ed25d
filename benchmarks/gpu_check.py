"""All that the CUDA backend has to show on a CUDA device, in one command: ``make gpu-check``.

Stages, in this order: ``environment``, ``tests`` (conformance battery, golden files, torch), ``gradients`` (batches of
many blocks against the float64 reference), ``checkpoints`` (published networks on the real test sets, where
BRFKIT_REFERENCE_DIR and BRFKIT_DATA_DIR are set), ``sanitizer`` (memcheck and racecheck on small networks) and
``benchmark`` (against the plain loop on the same device). There is no benchmark where an earlier stage failed. Nothing
but the report is written, besides compiled kernels in the cache folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from brfkit.backends import available_backends, get_backend
from brfkit.backends.base import Backend
from brfkit.backends.reference import ReferenceBackend
from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_write, check_writable
from brfkit.network import recurrent_network

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/gpu", "tests/codegen/test_cuda_text.py")
SHAPES = ("shd", "ecg", "smnist")
# Hidden units, batch, steps, dtype: more samples than multiprocessors, so blocks hold several of them; sizes that are
# no multiples of 32; W_rec in registers, in shared memory, in L2.
GRADIENT_CASES = (
    (128, 300, 40, "float64"),
    (100, 701, 20, "float64"),
    (256, 300, 20, "float64"),
    (513, 17, 8, "float64"),
    (1100, 5, 6, "float64"),
    (36, 1000, 40, "float64"),
)
TOLERANCE = 1e-8  # relative to the largest entry, as in tests/backends
# Float32 runs drift from the published float32 figures by single spikes; percent, and share of the loss.
ACCURACY_DIFFERENCE, LOSS_DIFFERENCE = 0.5, 0.03
SANITIZER_TOOLS = ("memcheck", "racecheck")
SANITIZER_SECONDS = 150


class Skipped(Exception):
    """A stage that cannot run here, and why."""


def environment(device: str) -> dict[str, Any]:
    from brfkit.doctor import examine
    from brfkit.runs.provenance import machine

    return {"machine": machine(1), "doctor": examine()}


def tests(device: str) -> dict[str, Any]:
    """The test suite of the backend; on a machine with a device it runs on the device, too."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    summary = lines[-1] if lines else done.stderr.strip()[-300:]
    if done.returncode != 0:
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        raise BrfkitError("; ".join([summary, *failed[:10]]))
    return {"summary": summary, "skipped": [line for line in lines if line.startswith("SKIPPED")]}


def gradient_error(backend: Backend, units: int, batch: int, steps: int, dtype: str) -> float:
    """Largest relative error over outputs, states and all gradients against the reference; BrfkitError for spikes."""
    rng = np.random.default_rng(units + batch)
    network = recurrent_network(3, (units,), 5, "brf")
    weights = network.initialise(1, np.float64)
    weights["hidden0.w_in"] = rng.normal(0.2, 1, (units, 3)) * 70
    weights["hidden0.w_rec"] = rng.normal(0, 60, (units, units)) / np.sqrt(units)
    weights = {name: np.ascontiguousarray(value, dtype) for name, value in weights.items()}
    x = rng.uniform(0, 1, (steps, batch, 3)).astype(dtype)
    bar = rng.normal(0, 1, (steps, batch, 5)).astype(dtype)
    traces, results = [], []
    for engine in (backend, ReferenceBackend()):
        trace = engine.scan(network, weights, x, record=["hidden0.z"], differentiate=True)
        traces.append(trace)
        results.append(engine.scan_vjp(trace, bar, input_grad=True, initial_state_grad=True))
    got, wanted = (t.records["hidden0.z"] for t in traces)
    if not 0.005 < wanted.mean() < 0.9:
        raise BrfkitError(f"a network of {units} units that spikes at {wanted.mean():.3f} of the steps tests nothing")
    if not np.array_equal(got, wanted):
        raise BrfkitError(f"{int((got != wanted).sum())} spikes differ with {units} units and {batch} samples")
    found, expected = (
        {"outputs": t.outputs, "input": g.input, **g.weights} for t, g in zip(traces, results, strict=True)
    )
    found |= {f"initial {n}": v for n, v in (results[0].initial_state or {}).items()}
    expected |= {f"initial {n}": v for n, v in (results[1].initial_state or {}).items()}
    return max(_error(found[name], wanted) for name, wanted in expected.items())


def _error(got: Any, wanted: Any) -> float:
    """Largest difference relative to the largest entry; infinite where a number is not."""
    error = float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-3))
    return error if np.isfinite(error) else float("inf")


def gradients(device: str) -> dict[str, Any]:
    backend = get_backend("cupy", device=device)
    errors = {}
    for units, batch, steps, dtype in GRADIENT_CASES:
        error = gradient_error(backend, units, batch, steps, dtype)
        errors[f"H={units} B={batch} T={steps} {dtype}"] = error
        if not error < TOLERANCE:
            raise BrfkitError(f"relative error {error:.1e} with {units} units and {batch} samples")
    return {"largest_relative_error": errors}


def checkpoints(device: str) -> dict[str, Any]:
    """The published networks against their published figures."""
    from brfkit.analysis.network.evaluate import evaluate

    reference, data = (os.environ.get(f"BRFKIT_{kind}_DIR") for kind in ("REFERENCE", "DATA"))
    if not reference or not data:
        raise Skipped("BRFKIT_REFERENCE_DIR and BRFKIT_DATA_DIR are not set")
    published = json.loads((Path(reference) / "published.json").read_text(encoding="utf-8"))["checkpoints"]
    found: dict[str, Any] = {}
    for path in sorted((Path(reference) / "checkpoints").glob("*_*.pt")):
        dataset, neuron = path.stem.split("_")[:2]
        if not (Path(data) / {"smnist": "mnist"}.get(dataset, dataset)).is_dir() or path.stem not in published:
            continue
        got, wanted = evaluate(path, dataset, neuron=neuron, backend="cupy", batch_size=1000), published[path.stem]
        found[path.stem] = {k: [got[k], wanted[k]] for k in ("accuracy", "loss", "spikes_per_sample")}
        found[path.stem]["seconds"] = got["seconds"]
        if abs(got["accuracy"] - wanted["accuracy"]) > ACCURACY_DIFFERENCE:
            raise BrfkitError(f"{path.name}: accuracy {got['accuracy']:.2f}, published {wanted['accuracy']:.2f}")
        if abs(got["loss"] - wanted["loss"]) > LOSS_DIFFERENCE * wanted["loss"]:
            raise BrfkitError(f"{path.name}: loss {got['loss']:.4f}, published {wanted['loss']:.4f}")
    if not found:
        raise Skipped("there are no published checkpoints with their data")
    return found


def small(device: str) -> None:
    """What the sanitizer watches: small networks that go through every kernel."""
    from brfkit.events import Events

    backend = get_backend("cupy", device=device)
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for units, batch, inputs in ((37, 3, 2), (130, 5, 20), (300, 2, 2)):
            network = recurrent_network(inputs, (units, 9), 3, "brf")
            weights = network.initialise(0, dtype)
            weights |= {n: (w * 60).astype(dtype) for n, w in weights.items() if n.endswith((".w_in", ".w_rec"))}
            dense = (rng.random((19, batch, inputs)) < 0.3).astype(dtype)
            for x in (dense, Events.from_dense(dense)):
                trace = backend.scan(network, weights, x, record=["hidden0.u", "hidden0.z"], differentiate=True)
                bar = rng.normal(0, 1, trace.outputs.shape).astype(dtype)
                backend.scan_vjp(trace, bar, input_grad=x is dense, initial_state_grad=True)
                list(backend.scan_points(network, [weights, weights], x))


def sanitizer(device: str) -> dict[str, Any]:
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if tool is None:
        raise Skipped("compute-sanitizer is not installed (it comes with the CUDA toolkit)")
    found = {}
    for check in SANITIZER_TOOLS:
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable, "-m", "benchmarks.gpu_check"]
        done = subprocess.run(
            [*command, "--small", "--device", device],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=SANITIZER_SECONDS,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if "SUMMARY" in line or "Error" in line]
        if done.returncode != 0:
            raise BrfkitError(f"{check}: {' '.join(lines[:5]) or (done.stderr or done.stdout)[-500:]}")
        found[check] = lines[-1].strip("= ") if lines else "no summary"
    return found


def benchmark(device: str) -> dict[str, Any]:
    import torch

    from benchmarks.gpu_measure import compare, time_points
    from brfkit.bench.workloads import make_workload

    if not torch.cuda.is_available():
        raise Skipped("this torch has no CUDA, so there is no plain loop to compare with")
    backend: Any = get_backend("cupy", device=device)
    place = torch.device("cuda", backend.device.index)
    workloads = [make_workload(name, backend) for name in SHAPES]
    results = [compare(workload, backend, place) for workload in workloads]
    return {"results": [r | time_points(w, backend) for r, w in zip(results, workloads, strict=True)]}


STAGES: dict[str, Callable[[str], dict[str, Any]]] = {
    "environment": environment,
    "tests": tests,
    "gradients": gradients,
    "checkpoints": checkpoints,
    "sanitizer": sanitizer,
    "benchmark": benchmark,
}


def run(names: list[str], device: str) -> dict[str, Any]:
    """Run stages; each gives ``state`` (ok, skipped, failed), ``seconds``, and what it found or why not."""
    report: dict[str, Any] = {}
    for name in names:
        start = time.perf_counter()
        failed = [n for n, r in report.items() if r["state"] == "failed"]
        try:
            if name == "benchmark" and failed:
                raise Skipped(f"no times are taken where {', '.join(failed)} failed")
            report[name] = {"state": "ok", **STAGES[name](device)}
        except Skipped as reason:
            report[name] = {"state": "skipped", "why": str(reason)}
        except Exception as error:  # one stage must not hide the others
            report[name] = {"state": "failed", "why": " ".join(f"{type(error).__name__}: {error}".split())[:2000]}
        report[name]["seconds"] = round(time.perf_counter() - start, 2)
        why = report[name].get("why", report[name].get("summary", ""))
        print(f"{name:12} {report[name]['state']:8} {report[name]['seconds']:7.1f} s  {why}", flush=True)
    return report


def table(results: list[dict[str, Any]]) -> str:
    """The benchmark for people."""
    lines = ["", f"{'shape':8} {'what':10} {'plain ms':>10} {'ours ms':>10} {'ratio':>8}  range"]
    for r in results:
        for what in ("train", "inference"):
            p = r[what]
            times = f"{p['plain_ms']:10.2f} {p['ours_ms']:10.3f} {p['ratio']:7.0f}x"
            lines.append(f"{r['shape']:8} {what:10} {times}  {p['lowest']:.0f}-{p['highest']:.0f}")
        m = r["memory"]
        lines.append(f"{r['shape']:8} {'MiB':10} {m['plain_mib']:10.1f} {m['ours_mib']:10.1f} {m['ratio']:7.1f}x")
        if "points" in r:
            p = r["points"]
            times = f"{p['one_by_one_ms']:10.2f} {p['together_ms']:10.3f} {p['ratio']:7.1f}x"
            lines.append(f"{r['shape']:8} {'surface':10} {times}  {p['points']} points, one by one against one launch")
        kernels = ", ".join(f"{name} {ms:.3f}" for name, ms in list(r["kernels_ms"].items())[:6])
        lines.append(f"{'':8} ms by kernel, one training step: {kernels}")
    return "\n".join(lines)


def _default_out(device: str) -> Path:
    import cupy

    index = int(device.partition(":")[2] or 0)
    name = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
    return ROOT / "benchmarks" / "results" / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--stages", default=",".join(STAGES), help="some of: %(default)s")
    parser.add_argument("--out", type=Path, help="report  [default: benchmarks/results/<device>.json]")
    parser.add_argument("--force", action="store_true", help="overwrite the report")
    parser.add_argument("--small", action="store_true", help="what the sanitizer runs, nothing else")
    options = parser.parse_args(argv)
    names = options.stages.split(",")
    if unknown := [n for n in names if n not in STAGES]:
        parser.error(f"unknown stage {unknown[0]}; there are {', '.join(STAGES)}")
    problem = available_backends()["cupy"]
    if problem != "ok":
        print(f"Error: backend cupy: {problem}", file=sys.stderr)
        return 1
    if options.small:
        small(options.device)
        return 0
    try:
        out = check_writable(options.out or _default_out(options.device), options.force)
    except BrfkitError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    start = time.perf_counter()
    report: dict[str, Any] = {"stages": run(names, options.device)}
    report["seconds"] = round(time.perf_counter() - start, 1)
    report["results"] = report["stages"].get("benchmark", {}).pop("results", [])
    with atomic_write(out, "w", options.force) as stream:
        stream.write(json.dumps(report, indent=1, default=str) + "\n")
    if report["results"]:
        print(table(report["results"]))
    print(f"\n{out} written after {report['seconds']:.0f} s")
    return 1 if any(r["state"] == "failed" for r in report["stages"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
