"""A Kafka broker that makes no topic unless it is told to, as brokers in production are set.

The mock cluster of `kafka_broker` makes topics when asked for and knows no `CreateTopics`. This one speaks just that
much of the protocol (https://kafka.apache.org/protocol): topics are listed and made, and all of them are empty.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

API_VERSIONS, METADATA, LIST_OFFSETS, CREATE_TOPICS = 18, 3, 2, 19
# Of each request the one version that is spoken.
VERSIONS = {API_VERSIONS: 0, METADATA: 4, LIST_OFFSETS: 1, CREATE_TOPICS: 4}
UNKNOWN_TOPIC_OR_PARTITION, TOPIC_AUTHORIZATION_FAILED, UNSUPPORTED_VERSION = 3, 29, 35


@dataclass
class Topics:
    """What the broker was told to make: partitions, replicas and settings by topic. Closed, it refuses."""

    address: str
    closed: bool = False
    made: dict[str, tuple[int, int, dict[str, str]]] = field(default_factory=dict)


class _Request:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, form: str) -> int:
        (found,) = struct.unpack_from(f">{form}", self._data, self._at)
        self._at += struct.calcsize(form)
        return int(found)

    def text(self) -> str:
        size = max(0, self.number("h"))
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def array(self, each: Callable[[], Any]) -> list[Any]:
        return [each() for _ in range(max(0, self.number("i")))]


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def _array(values: Sequence[bytes]) -> bytes:
    return struct.pack(">i", len(values)) + b"".join(values)


def _answer(topics: Topics, api: int, version: int, request: _Request, host: str, port: int) -> bytes:
    if api == API_VERSIONS:
        wrong = UNSUPPORTED_VERSION if version != VERSIONS[api] else 0
        return struct.pack(">h", wrong) + _array([struct.pack(">hhh", key, v, v) for key, v in VERSIONS.items()])
    if api == METADATA:
        brokers = _array([struct.pack(">i", 1) + _text(host) + struct.pack(">ih", port, -1)])
        listed = []
        for name in request.array(request.text):
            is_there = name in topics.made
            partition = struct.pack(">hii", 0, 0, 1) + _array([struct.pack(">i", 1)]) * 2
            error = 0 if is_there else UNKNOWN_TOPIC_OR_PARTITION
            listed.append(struct.pack(">h", error) + _text(name) + b"\0" + _array([partition] if is_there else []))
        return struct.pack(">i", 0) + brokers + struct.pack(">hi", -1, 1) + _array(listed)
    if api == LIST_OFFSETS:
        request.number("i")

        def partition_of() -> bytes:
            number, _ = request.number("i"), request.number("q")
            return struct.pack(">ihqq", number, 0, -1, 0)

        return _array(request.array(lambda: _text(request.text()) + _array(request.array(partition_of))))

    def made() -> bytes:
        name, partitions, replicas = request.text(), request.number("i"), request.number("h")
        request.array(lambda: (request.number("i"), request.array(lambda: request.number("i"))))
        settings = dict(request.array(lambda: (request.text(), request.text())))
        if topics.closed:
            return _text(name) + struct.pack(">hh", TOPIC_AUTHORIZATION_FAILED, -1)
        topics.made[name] = (partitions, replicas, settings)
        return _text(name) + struct.pack(">hh", 0, -1)

    return struct.pack(">i", 0) + _array(request.array(made))


@contextmanager
def kafka_without_topics() -> Iterator[Topics]:
    """Start the broker; it ends with the context."""

    class Connection(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while size := self.rfile.read(4):
                request = _Request(self.rfile.read(struct.unpack(">i", size)[0]))
                api, version, number = request.number("h"), request.number("h"), request.number("i")
                request.text()  # the client's name
                body = struct.pack(">i", number) + _answer(topics, api, version, request, *server.server_address)
                self.wfile.write(struct.pack(">i", len(body)) + body)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Connection) as server:
        topics = Topics("{}:{}".format(*server.server_address))
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield topics
        finally:
            server.shutdown()
            serving.join()
