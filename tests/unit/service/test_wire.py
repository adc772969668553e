"""What only a connection can do wrong: bodies that come slowly, in pieces, too long, or not at all."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bentos.intent_service.limits import MAX_BODY_BYTES
from bentos.intent_service.runtime import Runtime
from intent_tracking.settings import Settings
from tests.fakes.app_server import served
from tests.fakes.service_client import app_of

pytestmark = pytest.mark.unit

SECONDS = 0.5
LATE = 15  # how late a busy machine may be: with SECONDS, less than the limit that the settings begin with
HEAD = b"POST /v1/intent HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"texts": ["where is my parcel"]}'
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(scope="module")
def impatient(shared_runtime: Runtime) -> Iterator[tuple[str, int]]:
    """The address of a service that waits `SECONDS` for a body."""
    settings = Settings(home=Path("/nonexistent"), request_seconds=SECONDS)
    with served(app_of(shared_runtime, settings=settings)) as where:
        yield where


@pytest.fixture(scope="module")
def patient(shared_runtime: Runtime) -> Iterator[tuple[str, int]]:
    """The address of a service that waits longer than any machine needs for a body that is on its way."""
    settings = Settings(home=Path("/nonexistent"), request_seconds=60)
    with served(app_of(shared_runtime, settings=settings)) as where:
        yield where


def _connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=60)


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        assert part, "the connection ended without an answer"
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    size = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < size:
        body += connection.recv(65_536)
    return int(head.split()[1]), body


def _code(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


def test_a_body_in_pieces_without_a_length_is_read(patient: tuple[str, int]) -> None:
    with _connect(patient) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(BODY), 7):
            piece = BODY[at : at + 7]
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            time.sleep(0.005)
        connection.sendall(b"0\r\n\r\n")
        assert _answer(connection)[0] == 200


@pytest.mark.parametrize("sent", [b"", BODY[:10]])
def test_a_body_that_does_not_come_ends_in_408_and_with_its_connection(impatient: tuple[str, int], sent: bytes) -> None:
    with _connect(impatient) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + sent)
        begin = time.monotonic()
        status, body = _answer(connection)
        assert (status, _code(body)) == (408, "timeout")
        assert time.monotonic() - begin < SECONDS + LATE
        assert connection.recv(1) == b""


def test_a_body_byte_by_byte_is_not_waited_for_without_end(impatient: tuple[str, int]) -> None:
    with _connect(impatient) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        deadline = time.monotonic() + 60
        while not select.select([connection], [], [], 0.02)[0]:
            assert time.monotonic() < deadline
            with suppress(ConnectionError):  # the answer may come, and the end, between the look and the byte
                connection.send(b" ")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")


def test_a_body_over_the_limit_is_refused_before_it_has_come(patient: tuple[str, int]) -> None:
    with _connect(patient) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (10 * MAX_BODY_BYTES))
        status, body = _answer(connection)
        assert (status, _code(body)) == (413, "too_large")


def test_ten_megabytes_are_refused_and_the_connection_serves_on(patient: tuple[str, int]) -> None:
    size = 10 * 2**20
    with _connect(patient) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        connection.sendall(b" " * size)
        assert _answer(connection)[0] == 413
        connection.sendall(WHOLE)
        assert _answer(connection)[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 1000\r\n\r\n{",
        HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"te',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"\r\n" * 1000,
    ],
)
def test_a_caller_that_breaks_off_or_speaks_something_else_disturbs_nobody(
    patient: tuple[str, int], sent: bytes
) -> None:
    with _connect(patient) as broken:
        # It may be hung up on before all is sent.
        answer = b""
        with suppress(OSError):
            broken.sendall(sent)
            broken.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            answer = broken.recv(65_536)
        assert not answer or int(answer.split()[1]) < 500
    with _connect(patient) as whole:
        whole.sendall(WHOLE)
        assert _answer(whole)[0] == 200
