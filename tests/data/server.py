"""A file server on loopback that misbehaves as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    server: FileServer  # type: ignore[assignment]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        files, name = self.server, self.path.rsplit("/", 1)[1]
        behaviour = files.behaviours.pop(0) if files.behaviours else "well"
        asked = self.headers.get("Range")
        files.requests.append((name, asked, behaviour))
        content = files.content.get(name)
        if content is None or behaviour == "missing":
            self.send_error(404)
            return
        if behaviour == "busy":
            self.send_error(503)
            return
        if behaviour == "hang up":
            self.close_connection = True
            return
        if behaviour == "wrong":
            content = bytes(len(content))
        start = int(asked[6:-1]) if asked and behaviour != "no ranges" else 0
        if asked and start >= len(content) and behaviour != "no ranges":
            self.send_error(416)
            return
        self._headers(content, start, behaviour)
        self._body(content[start:], behaviour)

    def _headers(self, content: bytes, start: int, behaviour: str) -> None:
        size = len(content) - start
        self.send_response(206 if start or behaviour == "other part" else 200)
        if start or behaviour == "other part":
            shift = 5 if behaviour == "other part" else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{len(content) - 1}/{len(content)}")
        if behaviour == "longer":
            size += 1000
        elif behaviour == "shorter":
            size //= 2
        elif behaviour == "huge":
            size = 1 << 60
        if behaviour != "no length":
            self.send_header("Content-Length", str(size))
        self.end_headers()

    def _body(self, content: bytes, behaviour: str) -> None:
        if behaviour in ("break", "stall", "trickle"):
            self.wfile.write(content[: len(content) // 3])
            self.wfile.flush()
        if behaviour == "stall":
            self.server.released.wait(20)
        elif behaviour == "trickle":
            for byte in content[len(content) // 3 :]:
                if self.server.released.is_set():
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.02)
        elif behaviour == "endless":
            while not self.server.released.is_set():
                self.wfile.write(bytes(1 << 16))
        elif behaviour != "break":
            self.wfile.write(content)


class FileServer(ThreadingHTTPServer):
    """Serves `content` by name; each request takes the next of `behaviours`, and is good where there is none."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content: dict[str, bytes] = {}
        self.behaviours: list[str] = []
        self.requests: list[tuple[str, str | None, str]] = []
        self.released = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Clients that give up are what is tested here."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/files"


@contextmanager
def serving() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
