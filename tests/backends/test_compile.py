"""Compiled kernels on disk: what is loaded from there is executed, so anything but our own bytes is compiled anew."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brfkit.backends import code_cache
from brfkit.backends.numba_cpu.cache import KERNELS
from brfkit.backends.numba_cpu.compile import compile_text

ROOT = Path(__file__).resolve().parents[2]
TEXT = '''"""A kernel of this test."""
import numba

FACTOR = 2

@numba.njit(no_cpython_wrapper=True)
def inner(x):
    return FACTOR * x

@numba.njit
def double(x):
    return inner(x)
'''


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of the kernels, not made yet."""
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "cache"))
    code_cache.warn_once.cache_clear()
    return tmp_path / "cache" / "kernels"


def use(text: str = TEXT, value: object = 21) -> tuple[int, int]:
    """Run the kernel as a new process would; how often it came from the cache, and how often it was compiled."""
    double = compile_text(text)["double"]
    assert double(value) == 2 * value
    return sum(double.stats.cache_hits.values()), sum(double.stats.cache_misses.values())


COMPILED, FROM_CACHE = (0, 1), (1, 0)


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_a_kernel_is_compiled_once(cache):
    assert use() == COMPILED
    assert use() == FROM_CACHE
    assert only_file(cache).name.startswith("double-")
    assert cache.stat().st_mode & 0o777 == 0o700
    assert only_file(cache).stat().st_mode & 0o777 == 0o600


def test_a_kernel_of_another_process(cache):
    script = f"""from brfkit.backends.numba_cpu.compile import compile_text
assert compile_text({TEXT!r})["double"](4) == 8"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=120)
    assert use() == FROM_CACHE


def test_what_a_kernel_depends_on_names_its_file(cache, monkeypatch):
    assert use() == COMPILED
    assert use(value=1.5) == COMPILED  # another signature
    assert use(TEXT + "# another text\n") == COMPILED
    monkeypatch.setattr("numba.__version__", "0.0.1")
    assert use() == COMPILED
    monkeypatch.setattr("numba.core.config.OPT", 1)
    assert use() == COMPILED
    monkeypatch.setattr("numba.core.codegen.CPUCodegen.magic_tuple", lambda self: ("another processor",))
    assert use() == COMPILED
    assert len(list(cache.iterdir())) == 6


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 4
    return bytes(changed)


DAMAGE = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "header only": lambda content: content[: len(code_cache.MAGIC)],
    "cut short": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    "garbage": lambda content: np.random.default_rng(1).bytes(len(content)),
    "zeros": lambda content: bytes(len(content)),
    "flipped in the header": lambda content: flipped(content, 3),
    "flipped in the checksum": lambda content: flipped(content, len(code_cache.MAGIC) + 5),
    "flipped in the code": lambda content: flipped(content, len(content) // 2),
    "flipped at the end": lambda content: flipped(content, -1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_compiled_anew(cache, caplog, damage):
    use()
    file = only_file(cache)
    good = file.read_bytes()
    file.write_bytes(damage(good))
    with caplog.at_level(logging.DEBUG, "brfkit"):
        assert use() == COMPILED
    assert [r.levelname for r in caplog.records if "compiled anew: it is damaged" in r.message] == ["DEBUG"]
    assert not [r for r in caplog.records if r.levelno > logging.DEBUG]
    assert use() == FROM_CACHE
    assert only_file(cache) == file


class Executed:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self):
        return Path.touch, (self._trace,)


def test_a_pickle_that_was_put_there_is_not_loaded(cache, tmp_path):
    use()
    file, trace = only_file(cache), tmp_path / "executed"
    payload = pickle.dumps(Executed(trace))
    pickle.loads(payload)
    assert trace.exists()
    trace.unlink()
    head = file.read_bytes()[: len(code_cache.MAGIC) + code_cache.DIGEST]
    for content in (payload, head + payload):
        file.write_bytes(content)
        assert use() == COMPILED
    assert not trace.exists()


def test_a_file_under_another_name_is_not_taken(cache):
    use()
    whole = only_file(cache)
    use(value=2.5)
    (real,) = set(cache.iterdir()) - {whole}
    real.write_bytes(whole.read_bytes())
    assert use(value=2.5) == COMPILED


@pytest.mark.parametrize("error", [EOFError("Ran out of input"), pickle.UnpicklingError("no"), ImportError("gone")])
def test_errors_of_loading(cache, monkeypatch, caplog, error):
    """A content that is right and cannot be loaded, such as one of a library that is gone."""
    use()

    def fail(*_):
        raise error

    with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG, "brfkit"):
        patch.setattr("numba.core.compiler.CompileResult._rebuild", fail)
        assert use() == COMPILED
    assert f"compiled anew: {type(error).__name__}" in caplog.text
    assert use() == FROM_CACHE


def warnings(caplog) -> list[str]:
    return [r.message for r in caplog.records if r.levelno >= logging.WARNING]


posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="access rights of POSIX")


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_can_write(cache, caplog, mode):
    use()
    before = only_file(cache).read_bytes()
    cache.chmod(mode)
    for _ in range(2):
        assert use() == COMPILED
        assert use(value=2.5) == COMPILED
    assert only_file(cache).read_bytes() == before
    (line,) = warnings(caplog)
    assert f"the cache folder {cache} can be written by other users (chmod go-w)" in line


@posix
def test_a_file_that_others_can_write(cache, caplog):
    use()
    only_file(cache).chmod(0o620)
    assert use() == COMPILED
    (line,) = warnings(caplog)
    assert "can be written by other users" in line
    assert use() == FROM_CACHE
    assert only_file(cache).stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("owner", ["another", "root"])
@pytest.mark.parametrize("of", ["folder", "file"])
def test_whose_it_is(cache, caplog, monkeypatch, of, owner):
    """What root wrote is taken, who could write anything anyway; what another user wrote is not."""
    use()
    place = cache if of == "folder" else only_file(cache)
    status, really = code_cache._written_by_others, place.stat().st_ino
    uid = 0 if owner == "root" else os.geteuid() + 1

    def seen(found: os.stat_result) -> str | None:
        values = list(found)
        values[4] = uid if found.st_ino == really else found.st_uid
        return status(os.stat_result(values))

    monkeypatch.setattr(code_cache, "_written_by_others", seen)
    assert use() == (FROM_CACHE if owner == "root" else COMPILED)
    assert [f"{place} belongs to another user" in line for line in warnings(caplog)] == [True] * (owner != "root")


@posix
@pytest.mark.parametrize("what", ["link", "fifo", "folder"])
def test_what_is_no_file(cache, tmp_path, what):
    use()
    file = only_file(cache)
    kept = tmp_path / "kept"
    file.rename(kept)
    before = kept.read_bytes()
    {"link": lambda: file.symlink_to(kept), "fifo": lambda: os.mkfifo(file), "folder": file.mkdir}[what]()
    assert use() == COMPILED
    assert kept.read_bytes() == before
    assert use() == (COMPILED if what == "folder" else FROM_CACHE)


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert use() == COMPILED
    assert use() == COMPILED
    (line,) = warnings(caplog)
    assert "compiled code cannot be kept in" in line


def test_a_filled_cache_that_cannot_be_written(cache, monkeypatch, caplog):
    """Read from, and one warning for all that is new."""
    use()
    really = os.open

    def refuse(path, flags, *arguments, **named):
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system", str(path))
        return really(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert use() == FROM_CACHE
    assert use(value=2.5) == COMPILED
    assert use(TEXT + "#\n") == COMPILED
    (line,) = warnings(caplog)
    assert line.endswith("Read-only file system")


def test_a_disk_that_is_full(cache, monkeypatch, caplog):
    real = Path.write_bytes

    def fill(path: Path, data: bytes) -> int:
        real(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill)
        assert use() == COMPILED
        assert use() == COMPILED
    (line,) = warnings(caplog)
    assert line.endswith("No space left on device")
    assert list(cache.iterdir()) == []
    assert use() == COMPILED
    assert use() == FROM_CACHE


def test_numba_that_does_not_start():
    script = "from brfkit.cli import main; main(['simulate', '--neuron', 'brf', '--omega', '10'])"
    environment = {**os.environ, "NUMBA_NUM_THREADS": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: numba cannot be imported (Number of threads specified must be > 0.)")
    assert done.stderr.count("\n") == 1


def test_the_name_of_an_entry_separates_its_parts():
    assert KERNELS.key("a", ("bc", "d")) != KERNELS.key("a", ("b", "cd"))
