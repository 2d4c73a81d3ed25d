"""Downloads from a loopback server that breaks off, stalls, lies and serves other bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brfkit.data import DataFile, DataSpec, dataset_spec, fetch
from brfkit.data.remote.download import RetryPolicy
from brfkit.data.remote.fetch import addresses
from brfkit.errors import BrfkitError

from .server import FileServer, serving

CONTENT = np.random.default_rng(0).bytes(300_000)
PACKED = gzip.compress(CONTENT, mtime=0)
POLICY = RetryPolicy(connect=2, silence=0.4, window=0.3, slowest=5000, attempts=4, pause=0.01, largest=1 << 22)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as running:
        running.content = {"a.bin.gz": PACKED, "a.bin.zip": b"PK no zip"}
        yield running


@pytest.fixture
def spec(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> DataSpec:
    """A data set of one file on the loopback server."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    file = DataFile("train", "a.bin", md5(CONTENT), f"{server.url}/a.bin.gz", md5(PACKED), ("a.bin.gz",))
    return use(monkeypatch, file)


def use(monkeypatch: pytest.MonkeyPatch, *files: DataFile) -> DataSpec:
    made = replace(dataset_spec("tones"), name="made", folder="made", files=files)
    monkeypatch.setattr("brfkit.data.remote.fetch.dataset_spec", lambda _: made)
    return made


def names(root: Path) -> list[str]:
    folder = root / "made"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_good_server(spec: DataSpec, server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    (done,) = fetch("made", tmp_path, progress=lambda *report: seen.append(report), policy=POLICY)
    assert (done.name, done.path, done.bytes, done.state) == (
        "a.bin", tmp_path / "made" / "a.bin.gz", len(PACKED), "fetched",
    )  # fmt: skip
    assert done.path.read_bytes() == PACKED
    assert seen[0] == ("a.bin.gz", 0, len(PACKED))
    assert seen[-1] == ("a.bin.gz", len(PACKED), len(PACKED))
    assert names(tmp_path) == ["a.bin.gz"]
    (again,) = fetch("made", tmp_path, policy=POLICY)
    assert again.state == "present"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "behaviours",
    [
        ["break"],
        ["break", "break", "break"],
        ["stall"],
        ["trickle"],
        ["busy", "break", "busy"],
        ["hang up"],
        ["break", "hang up"],
        ["no length"],
        ["break", "no ranges"],
        ["break", "other part"],
        ["longer"],
        ["longer", "longer", "longer", "longer"],
        ["wrong", "missing"],
    ],
    ids=" then ".join,
)
def test_servers_that_get_there_in_the_end(
    behaviours: list[str], spec: DataSpec, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = spec.files[0]
    if "wrong" in behaviours:
        use(monkeypatch, replace(file, mirrors=((file.url, file.url_md5),) * 2))
    server.behaviours = list(behaviours)
    start = time.perf_counter()
    (done,) = fetch("made", tmp_path, policy=POLICY)
    assert done.path.read_bytes() == PACKED
    assert names(tmp_path) == ["a.bin.gz"]
    assert time.perf_counter() - start < 8


def test_what_is_there_is_not_fetched_twice(spec: DataSpec, server: FileServer, tmp_path: Path) -> None:
    server.behaviours = ["break"]
    fetch("made", tmp_path, policy=POLICY)
    assert server.requests[1][1] == f"bytes={len(PACKED) // 3}-"


def test_resumed_by_the_next_call(spec: DataSpec, server: FileServer, tmp_path: Path) -> None:
    server.behaviours = ["break", "missing"]
    with pytest.raises(BrfkitError, match=r"could not be downloaded .* the server answers 404"):
        fetch("made", tmp_path, policy=POLICY)
    assert names(tmp_path) == ["a.bin.gz.part"]
    fetch("made", tmp_path, policy=POLICY)
    assert server.requests[-1][1] == f"bytes={len(PACKED) // 3}-"
    assert names(tmp_path) == ["a.bin.gz"]


@pytest.mark.parametrize("left", [PACKED, PACKED + b"more", bytes(len(PACKED)), bytes(1000)])
def test_any_leftover_part(left: bytes, spec: DataSpec, server: FileServer, tmp_path: Path) -> None:
    """Whole already, too long, or of another file: the published content comes out."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.bin.gz.part").write_bytes(left)
    (done,) = fetch("made", tmp_path, policy=POLICY)
    assert done.path.read_bytes() == PACKED
    assert names(tmp_path) == ["a.bin.gz"]


@pytest.mark.parametrize(
    ("behaviours", "reason", "left"),
    [
        (["wrong"], "the content has MD5", []),
        (["shorter"], "the content has MD5", []),
        (["missing"], "the server answers 404", []),
        (["busy"] * 4, "the server answers 503, 4 times", []),
        (["hang up"] * 4, "the connection broke, 4 times", []),
        (["huge"], "the file would be 1152921504606846976 bytes large", []),
        (["endless"], "does not end after", []),
        (["stall"] * 4, "the connection stalled, 4 times", ["a.bin.gz.part"]),
    ],
)
def test_servers_that_do_not(
    behaviours: list[str], reason: str, left: list[str], spec: DataSpec, server: FileServer, tmp_path: Path
) -> None:
    if behaviours == ["endless"]:
        server.content["a.bin.gz"] = bytes(1 << 23)
        server.behaviours = ["no length"]
    else:
        server.behaviours = list(behaviours)
    start = time.perf_counter()
    with pytest.raises(BrfkitError, match=reason) as error:
        fetch("made", tmp_path, policy=POLICY)
    line = str(error.value)
    assert "\n" not in line
    assert all(part in line for part in ("made: a.bin", "put a.bin.gz into", str(tmp_path / "made"), "--mirror"))
    assert names(tmp_path) == left
    assert time.perf_counter() - start < 8


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    use(monkeypatch, DataFile("train", "a.bin", None, f"http://127.0.0.1:{port}/a.bin.gz", "0" * 32))
    with pytest.raises(BrfkitError, match=rf"127\.0\.0\.1:{port}: no connection\); put a\.bin\.gz into"):
        fetch("made", tmp_path)
    assert names(tmp_path) == []


def test_a_certificate_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssl = pytest.importorskip("ssl")
    if subprocess.run(["openssl", "version"], capture_output=True, check=False).returncode:
        pytest.skip("openssl is not here to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    with serving() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        use(monkeypatch, DataFile("train", "a.bin", None, f"{url}/a.bin.gz", md5(PACKED)))
        with pytest.raises(BrfkitError, match="the server's TLS certificate was not accepted"):
            fetch("made", tmp_path, policy=POLICY)
    assert server.requests == []


def test_mirror(spec: DataSpec, tmp_path: Path) -> None:
    with serving() as other:
        other.content = {"a.bin.gz": gzip.compress(CONTENT, 1, mtime=9)}  # packed anew: other bytes, the same content
        (done,) = fetch("made", tmp_path, mirror=f"{other.url}/", policy=POLICY)
        assert gzip.decompress(done.path.read_bytes()) == CONTENT
        assert len(other.requests) == 1
    with pytest.raises(BrfkitError, match="the mirror must be an address"):
        fetch("made", tmp_path, mirror="ftp://somewhere")


def test_addresses_of_a_mirror() -> None:
    shd = dataset_spec("shd").files[0]
    assert addresses(shd, "http://127.0.0.1/x/") == [
        ("http://127.0.0.1/x/shd_train.h5.zip", shd.url_md5),
        ("http://127.0.0.1/x/shd_train.h5.gz", shd.mirrors[0][1]),
    ]
    assert [url for url, _ in addresses(shd, None)] == [
        "https://zenkelab.org/datasets/shd_train.h5.zip",
        "https://zenkelab.org/datasets/shd_train.h5.gz",
        "https://compneuro.net/datasets/shd_train.h5.gz",
    ]


def test_the_next_address_is_tried(
    spec: DataSpec, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = f"{server.url}/a.bin.zip"
    file = spec.files[0]
    use(monkeypatch, replace(file, url=first, url_md5="0" * 32, mirrors=((file.url, file.url_md5),)))
    (done,) = fetch("made", tmp_path, policy=POLICY)
    assert done.path.name == "a.bin.gz"
    assert [name for name, _, _ in server.requests] == ["a.bin.zip", "a.bin.gz"]
    assert names(tmp_path) == ["a.bin.gz"]


def test_other_content_is_replaced_only_by_force(spec: DataSpec, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.bin").write_bytes(b"mine")
    with pytest.raises(BrfkitError, match=r"is there with other content .* --force"):
        fetch("made", tmp_path, policy=POLICY)
    assert (tmp_path / "made" / "a.bin").read_bytes() == b"mine"
    fetch("made", tmp_path, force=True, policy=POLICY)
    assert names(tmp_path) == ["a.bin.gz"]


def test_folders_that_cannot_be_written(spec: DataSpec, tmp_path: Path) -> None:
    (tmp_path / "made").touch()
    with pytest.raises(BrfkitError, match="cannot be made"):
        fetch("made", tmp_path, policy=POLICY)


def test_a_full_disk_leaves_nothing_behind(server: FileServer, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,) * 2)
from pathlib import Path
from brfkit.data.remote.download import RetryPolicy, download
download(sys.argv[1], Path(sys.argv[2]), RetryPolicy(), lambda *_: None)
"""
    part = tmp_path / "a.part"
    done = subprocess.run(
        [sys.executable, "-c", script, f"{server.url}/a.bin.gz", str(part)],
        capture_output=True, text=True, env=os.environ | {"NO_PROXY": "127.0.0.1"},
    )  # fmt: skip
    assert "cannot be written: File too large" in done.stderr.splitlines()[-1]
    assert not part.exists()


def test_two_processes_do_not_write_one_file(spec: DataSpec, server: FileServer, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "made").mkdir()
    with (tmp_path / "made" / "a.bin.gz.part").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BrfkitError, match="is being written by another process"):
            fetch("made", tmp_path, policy=POLICY)


def test_generated_data_need_no_files(tmp_path: Path) -> None:
    assert fetch("tones", tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BrfkitError, match="unknown data set"):
        fetch("nothing", tmp_path)


def test_a_planted_link_is_not_followed(spec: DataSpec, server: FileServer, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("dear")
    part = tmp_path / "made" / "a.bin.gz.part"
    part.parent.mkdir()
    for plant, message in ((part.symlink_to, "is a link"), (part.hardlink_to, "has a second name")):
        plant(mine)
        with pytest.raises(BrfkitError, match=message):
            fetch("made", tmp_path, policy=POLICY)
        assert mine.read_text() == "dear"
        part.unlink()
    assert server.requests == []


@pytest.mark.parametrize("scheme", ["ftp", "http"])
def test_no_password_in_an_error(scheme: str, spec: DataSpec, tmp_path: Path) -> None:
    with pytest.raises(BrfkitError) as caught:
        fetch("made", tmp_path, mirror=f"{scheme}://me:se%20cret@127.0.0.1:9/", policy=POLICY)
    assert "cret" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)
