"""Where figures come from: hash of the data, versions, commit; ``run.json`` of a run folder. Needs no torch."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import brfkit
from brfkit.cost import active_inputs
from brfkit.data import Dataset, Split
from brfkit.events import Events

SHORT = 12  # digits of a commit in tables
_PACKAGES = ("numpy", "numba", "torch", "scipy", "cupy")


def collect(dataset: Dataset, parameters: int, backend: str) -> dict[str, Any]:
    """What a run is made of: size of network and data, hash of the data, versions, commit, command line."""
    test = dataset.test if "test" in dataset.splits and len(dataset.test) else dataset.train
    return {
        "parameters": parameters,
        "backend": backend,
        "steps": dataset.steps,
        "channels": dataset.channels,
        "classes": dataset.classes,
        "active_inputs": active_inputs(test),
        "data_sha256": {name: data_hash(split) for name, split in dataset.splits.items()},
        "versions": versions(),
        "git_commit": git_commit(),
        "command": ["brfkit", *sys.argv[1:]],
    }


def data_hash(split: Split, chunk: int = 256) -> str:
    """SHA-256 of what a network sees of a split: inputs in float32, or events, and labels, sample by sample."""
    digest = hashlib.sha256()
    for start in range(0, len(split), chunk):
        x, y = split.batch(np.arange(start, min(start + chunk, len(split))), np.float32)
        if isinstance(x, Events):
            for offsets in x.indptr:
                digest.update(np.ascontiguousarray(offsets - offsets[0], "<i8").tobytes())
                digest.update(np.ascontiguousarray(x.indices[offsets[0] : offsets[-1]], "<i8").tobytes())
        else:
            digest.update(np.ascontiguousarray(x.transpose(1, 0, 2), "<f4").tobytes())
        digest.update(np.ascontiguousarray(y.T, "<i8").tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Of brfkit, Python and the packages that compute."""
    found = {"brfkit": brfkit.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine(threads: int) -> dict[str, Any]:
    """The machine, the versions and the commit: what a measured time has to name."""
    commit, found = git_commit(), versions()
    return {
        "cpu": _cpu(),
        "processors": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        **{name: found[name] for name in ("python", "numpy", "numba", "torch", "brfkit")},
        "commit": None if commit is None else commit[:SHORT] + commit[40:],
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def git_commit(root: Path | None = None) -> str | None:
    """Commit of the checkout at `root`, of brfkit's own where none is given, with ``+`` where tracked files differ from
    it; None where there is no checkout."""
    folder = Path(brfkit.__file__).resolve().parents[1] if root is None else root
    if not (folder / ".git").exists():
        return None
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
