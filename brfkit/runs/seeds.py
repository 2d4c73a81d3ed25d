"""One experiment with several seeds: a run folder each, and their mean and standard deviation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_write
from brfkit.runs.config import Config
from brfkit.runs.folder import RunFolder

SUMMARY = "seeds.json"
_AVERAGED = ("test_accuracy", "test_loss", "spikes_per_sample", "best_epoch", "epochs", "seconds")

MOST = 1000  # seeds of one experiment

RunOne = Callable[[Config, Path, bool], dict[str, Any]]


def parse_seeds(text: str) -> list[int]:
    """Seeds from text such as ``0-4`` or ``0,3,7-9``.

    Raises:
        BrfkitError: it is not of that form, or a seed is there twice.
    """
    if len(text) > 10_000:
        raise BrfkitError(f"a list of seeds such as 0-4 or 0,3,7 is not {len(text):,} characters long")
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise BrfkitError(f"{text!r} is not a list of seeds such as 0-4 or 0,3,7")
        if len(first) > 18 or len(last) > 18:
            raise BrfkitError(f"{text[:60]!r} names a seed of more than 18 digits")
        if int(last if dash else first) - int(first) >= MOST - len(seeds):
            raise BrfkitError(f"{text[:60]!r} asks for more than {MOST:,} runs")
        seeds += range(int(first), int(last if dash else first) + 1)
    if len(set(seeds)) != len(seeds):
        raise BrfkitError(f"{text!r} names a seed twice")
    return seeds


def seed_folder(run_dir: Path, seed: int) -> Path:
    return run_dir / f"seed-{seed}"


def run_seeds(
    config: Config,
    run_dir: Path,
    seeds: Sequence[int],
    run_one: RunOne,
    *,
    resume: bool,
    force: bool,
    check: bool = True,
) -> list[dict[str, Any]]:
    """Run every seed in ``run_dir/seed-N``; with `resume`, those that are finished are taken as they are.

    Args:
        config: settings; the seed takes the place of its own.
        run_one: makes one run: configuration, folder, whether to go on with what is there; returns its result.
        resume, force: go on, or overwrite; without either, a folder that holds a run of one of the seeds is refused.
        check: whether to look for such folders first; False for processes that follow another one.

    Returns:
        The results in the order of the seeds.

    Raises:
        BrfkitError: a folder holds a run already, or one with other settings.
    """
    folders = [RunFolder(seed_folder(run_dir, s), _with_seed(config, s)) for s in seeds]
    for folder in folders if check else ():  # before the first of them takes its time
        if folder.present() and not resume and not force:
            raise BrfkitError(f"{folder.path} holds a run already; use --resume to go on, --force to overwrite")
        if folder.present() and resume:
            folder.extension()
    results = []
    for folder in folders:
        done = folder.result() if resume and folder.holds_this_run() else {}
        results.append(done or run_one(folder.config, folder.path, resume))
    return results


def summarise(run_dir: Path, seeds: Sequence[int], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One object for all seeds: figures are means over them, ``…_std`` their standard deviation (n - 1)."""
    first = results[0]
    summary: dict[str, Any] = {"run_dir": str(run_dir)}
    summary |= {key: first[key] for key in ("dataset", "neuron", "parameters", "backend")}
    summary |= {"seeds": list(seeds), "test_accuracy_best": max(r["test_accuracy"] for r in results)}
    for key in _AVERAGED:
        values = np.array([r[key] for r in results], np.float64)
        summary[key] = float(values.mean())
        summary[f"{key}_std"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    summary["diverged"] = [seed for seed, r in zip(seeds, results, strict=True) if r.get("diverged")]
    summary["runs"] = list(results)
    return summary


def write_summary(run_dir: Path, summary: dict[str, Any]) -> None:
    with atomic_write(run_dir / SUMMARY, "w", force=True) as stream:
        stream.write(json.dumps(summary, indent=1) + "\n")


def _with_seed(config: Config, seed: int) -> Config:
    return replace(config, training=replace(config.training, seed=seed))
