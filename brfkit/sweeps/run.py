"""Running a study: this process, or several of them, until the trials that were asked for are there."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.backends.threads import default_threads
from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_write
from brfkit.sweeps.results import StudyResult, study_result
from brfkit.sweeps.space import grid_size
from brfkit.sweeps.storage import (
    PROCESS,
    RETRIED,
    import_optuna,
    open_study,
    process_attributes,
    retry_lost_trials,
    trial_lock,
)
from brfkit.sweeps.study_file import StudySpec, read_study, with_options
from brfkit.sweeps.trial import Places, run_trial

if TYPE_CHECKING:
    import optuna

_POLL = 0.3  # seconds
_RESTARTS = 100  # of killed workers, in all

log = logging.getLogger(__name__)


def default_folder(path: str | Path) -> Path:
    """The folder of a study file's study: ``sweeps/<name of the file>``."""
    return Path("sweeps") / Path(path).stem


def kept_study(folder: Path) -> Path:
    """The study file that :func:`prepare_folder` kept.

    Raises:
        BrfkitError: there is none, or more than one.
    """
    found = sorted(folder.glob("*.toml"))
    if len(found) != 1:
        raise BrfkitError(f"{folder} holds {len(found) or 'no'} study file(s); it is not the folder of a study")
    return found[0]


def prepare_folder(path: str | Path, spec: StudySpec, folder: Path) -> None:
    """Make the folder and keep the study file in it, so that ``sweep show FOLDER`` needs nothing else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = Path(path).read_bytes()
    except OSError as error:
        raise BrfkitError(f"{folder} cannot be used as the folder of a study: {error.strerror}") from None
    kept = folder / Path(path).name  # its stem is the study's name where it has no other
    if Path(path).resolve() != kept.resolve() and (not kept.exists() or kept.read_bytes() != text):
        with atomic_write(kept, "wb", force=True) as stream:
            stream.write(text)


def run_study(
    study: str | Path | StudySpec,
    folder: str | Path | None = None,
    *,
    backend: str | Backend = "auto",
    threads: int | None = None,
    trials: int | None = None,
    storage: str | None = None,
    data_dir: str | Path | None = None,
    picture: Any = None,
) -> StudyResult:
    """Run a hyper-parameter study in this process, as ``brfkit sweep`` does; a study that is there goes on.

    Args:
        study: study file, or a :class:`StudySpec`.
        folder: of the study; None takes ``sweeps/<name>``.
        backend, threads: compute backend.
        trials, storage: in place of those of the study.
        data_dir: folder of the data sets.
        picture: draws the learning curve of every run, as for :func:`brfkit.training.run.train`.

    Raises:
        BrfkitError: the study makes no sense, another one is in the storage, or a file cannot be read or written.
    """
    spec = with_options(study if isinstance(study, StudySpec) else read_study(study), trials=trials, storage=storage)
    place = Path(folder) if folder is not None else Path("sweeps") / spec.name
    if isinstance(study, StudySpec):
        place.mkdir(parents=True, exist_ok=True)
    else:
        prepare_folder(study, spec, place)
    engine = get_backend(backend, threads=threads) if isinstance(backend, str) else backend
    started = time.perf_counter()
    work(spec, Places(place, engine, data_dir, picture))
    return study_result(spec, place, time.perf_counter() - started)


def work(spec: StudySpec, places: Places, worker: int = 0) -> None:
    """Run trials one after the other until there are enough.

    Trials of processes that are gone are queued again. Where others still run the last trials, this waits: one of
    them may be lost too.
    """
    study = open_study(spec, places.folder, worker)
    state = import_optuna().trial.TrialState
    target = spec.trials if spec.trials is not None else grid_size(spec.dimensions)
    while True:
        with trial_lock(places.folder) as release:
            retry_lost_trials(study)
            trials = study.get_trials(deepcopy=False)
            waiting = any(trial.state == state.WAITING for trial in trials)
            if waiting or sum(not trial.user_attrs.get(RETRIED, False) for trial in trials) < target:
                _one(spec, study, places, release)
                continue
        if not any(trial.state == state.RUNNING for trial in trials):
            return
        time.sleep(_POLL)


def _one(spec: StudySpec, study: optuna.Study, places: Places, release: Callable[[], None]) -> None:
    """One trial. The lock is given back as soon as the trial is there, so that others can start theirs."""

    def objective(trial: optuna.Trial) -> Any:
        trial.set_user_attr(PROCESS, process_attributes())
        release()
        try:
            values = run_trial(spec, trial, places)
        except BrfkitError as error:
            trial.set_user_attr("error", str(error))
            log.warning("trial %d: %s", trial.number, error)
            raise
        return values if len(values) > 1 else values[0]

    study.optimize(objective, n_trials=1, catch=(BrfkitError,))


@dataclass(frozen=True)
class WorkerCommand:
    """How a worker process is started: ``brfkit sweep`` with these arguments, and a number for each."""

    arguments: Sequence[str]
    threads: int

    def start(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "brfkit", "sweep", *self.arguments]
        command += ["--worker", str(number), "--threads", str(self.threads)]
        # A group of its own: Ctrl-C reaches this process, which passes it on once.
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def run_workers(command: WorkerCommand, count: int, poll: Callable[[], None] | None = None) -> None:
    """Run worker processes until all are done; one that was killed is started again.

    Raises:
        BrfkitError: a worker ended with an error of its own, which it has printed.
        KeyboardInterrupt: the workers were stopped.
    """
    workers = {number: command.start(number) for number in range(count)}
    left, failed = _RESTARTS, 0
    try:
        while workers:
            time.sleep(_POLL)
            if poll is not None:
                poll()
            for number, process in list(workers.items()):
                code = process.poll()
                if code is None:
                    continue
                del workers[number]
                if code < 0 and left:
                    left -= 1
                    log.warning("worker %d was killed (signal %d) and is started again", number, -code)
                    workers[number + count] = command.start(number + count)
                elif code:
                    failed = code
    except BaseException:
        _stop(list(workers.values()))
        raise
    if failed:
        raise BrfkitError(f"a worker ended with exit code {failed}; its message is above")


def _stop(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in workers:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 20.0
    for process in workers:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def worker_threads(workers: int, threads: int | None) -> int:
    """Threads of each worker: the processors divided among them, at least one."""
    return max(1, (threads or default_threads()) // workers)


__all__ = ["Places", "StudyResult", "WorkerCommand", "default_folder", "run_study", "run_workers", "work"]
