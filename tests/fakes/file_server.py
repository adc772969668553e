"""A web server on localhost that serves bytes by path, can break off in the middle, and counts its requests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FileServer(ThreadingHTTPServer):
    """`content` by path; a path in `broken` promises all its bytes and sends half."""

    daemon_threads = True

    def __init__(self, content: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = dict(content)
        self.broken: set[str] = set()
        self.requests: Counter[str] = Counter()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        body = self.server.content.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path in self.server.broken else body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """A test server has nothing to say."""


@contextmanager
def file_server(content: Mapping[str, bytes]) -> Iterator[FileServer]:
    """Serve `content` while the block runs."""
    server = FileServer(content)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
