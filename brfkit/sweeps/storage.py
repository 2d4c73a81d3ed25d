"""The Optuna study behind a study file: storage, sampler, pruner, and trials whose process died."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brfkit.errors import BrfkitError
from brfkit.io.streams import one_line
from brfkit.sweeps.study_file import OBJECTIVES, StudySpec

if TYPE_CHECKING:
    import optuna

JOURNAL = "journal.log"
PROCESS = "process"
RETRIED = "retried"
HEARTBEAT = 30.0  # seconds between signs of life of a trial
LOST_AFTER = 600.0  # seconds without one after which a trial of another machine is considered dead

log = logging.getLogger(__name__)


def import_optuna() -> Any:
    """Optuna, without its log lines; a clear error where it is not installed."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise BrfkitError(
            f"studies need the package {error.name}, which is not installed; pip install 'brfkit[sweep]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    import warnings

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def open_storage(spec: StudySpec, folder: Path) -> Any:
    """Optuna's storage of a study: the journal file in its folder, or the RDB of a URL.

    Raises:
        BrfkitError: it cannot be opened, or is damaged.
    """
    optuna = import_optuna()
    place = spec.storage or str(folder / JOURNAL)
    try:
        if spec.storage is not None and "://" in spec.storage:
            return optuna.storages.RDBStorage(spec.storage, engine_kwargs={"pool_pre_ping": True})
        backend = optuna.storages.journal
        return optuna.storages.JournalStorage(
            backend.JournalFileBackend(place, lock_obj=backend.JournalFileOpenLock(place))
        )
    except Exception as error:  # drivers, journals and SQLAlchemy raise their own classes
        raise BrfkitError(f"the storage {_without_password(place)} cannot be opened: {one_line(error)}") from None


def open_study(spec: StudySpec, folder: Path, worker: int = 0) -> optuna.Study:
    """The study, made if there is none yet.

    Args:
        spec: what it is.
        folder: of the study.
        worker: number of this process, so that no two draw the same points.

    Raises:
        BrfkitError: another study of that name is in the storage, or the storage cannot be used.
    """
    optuna = import_optuna()
    storage = open_storage(spec, folder)
    directions = ["maximize" if OBJECTIVES[name] else "minimize" for name in spec.objectives]
    try:
        study = optuna.create_study(
            storage=storage, study_name=spec.name, directions=directions, load_if_exists=True,
            pruner=_pruner(spec, optuna),
        )  # fmt: skip
        fingerprint = json.dumps(describe_space(spec), sort_keys=True, default=str)
        stored = study.user_attrs.get("space")
        if stored is None:
            study.set_user_attr("space", fingerprint)
        elif stored != fingerprint:
            raise BrfkitError(
                f"the study {spec.name!r} in {_without_password(spec.storage or str(folder / JOURNAL))} has another "
                "[space], [base], seeds or objectives; give this one another name or folder"
            )
        drawn = len(study.get_trials(deepcopy=False))
    except BrfkitError:
        raise
    except Exception as error:  # a damaged journal raises what its decoder raises
        place = _without_password(spec.storage or str(folder / JOURNAL))
        raise BrfkitError(f"the storage {place} is damaged or cannot be used: {one_line(error)}") from None
    # A sampler that starts again must not draw its first points once more.
    study.sampler = _sampler(spec, optuna, spec.seed + 1000003 * worker + 7919 * drawn)
    return study


def describe_space(spec: StudySpec) -> dict[str, Any]:
    """What two studies must have in common to be one: space, base, seeds, objectives."""
    return {
        "space": [
            {"key": d.key, "low": d.low, "high": d.high, "log": d.log, "step": d.step, "choices": list(d.choices),
             "when": dict(d.when)}
            for d in spec.dimensions
        ],
        "base": dict(spec.base),
        "seeds": list(spec.seeds),
        "objectives": list(spec.objectives),
    }  # fmt: skip


def _sampler(spec: StudySpec, optuna: Any, seed: int) -> Any:
    samplers = optuna.samplers
    seed %= 2**32
    if spec.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    if spec.sampler == "grid":
        return samplers.GridSampler({d.key: d.grid() for d in spec.dimensions}, seed=seed)
    if spec.sampler == "cmaes":
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    conditional = any(d.when for d in spec.dimensions)
    return samplers.TPESampler(seed=seed, multivariate=True, group=conditional, constant_liar=True)


def _pruner(spec: StudySpec, optuna: Any) -> Any:
    if spec.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    if spec.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner()
    return optuna.pruners.NopPruner()


@contextmanager
def trial_lock(folder: Path) -> Iterator[Any]:
    """A lock across processes on one file system, held while a worker decides whether there is a trial left to start;
    yields a function that releases it early."""
    optuna = import_optuna()
    lock = optuna.storages.journal.JournalFileOpenLock(str(folder / "start"))
    lock.acquire()
    held = [True]

    def release() -> None:
        if held:
            held.clear()
            try:
                lock.release()
            except RuntimeError:  # taken over by another process that waited too long
                log.debug("the lock of %s was released by another process", folder)

    try:
        yield release
    finally:
        release()


def process_attributes() -> dict[str, Any]:
    """Identifies this process and its last heartbeat: host, number, start, time."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": _process_start(os.getpid()), "time": time.time()}


def _process_start(pid: int) -> str | None:
    """When a process started, in the kernel's count, so that a number that was given away again is not mistaken."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _lives(process: dict[str, Any]) -> bool:
    if process.get("host") != socket.gethostname():
        return time.time() - float(process.get("time", 0.0)) < LOST_AFTER
    pid = int(process.get("pid", -1))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process.get("start") == _process_start(pid)


def retry_lost_trials(study: optuna.Study) -> int:
    """Give up trials whose process is gone, and queue each of them again with its values; returns how many.

    Two workers that find the same trial do not queue it twice: a trial can be given up once only.
    """
    optuna = import_optuna()
    state = optuna.trial.TrialState
    queued = 0
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        process = trial.user_attrs.get(PROCESS)
        if process is None:
            started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
            if time.time() - started < HEARTBEAT:
                continue  # it has only just been made
        elif _lives(process):
            continue
        try:
            study._storage.set_trial_user_attr(trial._trial_id, RETRIED, True)
            # Not study.tell: a grid sampler would stop the study there.
            study._storage.set_trial_state_values(trial._trial_id, state=state.FAIL)
        except Exception as error:  # another worker was quicker: the storage refuses a second end
            log.debug("trial %d was given up by another worker (%s)", trial.number, error)
            continue
        attributes = {k: v for k, v in trial.user_attrs.items() if k != PROCESS}
        attributes.setdefault("folder", f"{trial.number:04d}")
        grid = {k: v for k, v in trial.system_attrs.items() if k in ("grid_id", "search_space")}
        study.add_trial(
            optuna.create_trial(
                state=state.WAITING, params=trial.params, distributions=trial.distributions, user_attrs=attributes,
                system_attrs={"fixed_params": trial.params, **grid},
            )
        )  # fmt: skip
        queued += 1
    return queued


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    if not at or "://" not in head:
        return url
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.split(':')[0]}@{tail}"
