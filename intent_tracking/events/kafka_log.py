"""`EventLog` in a Kafka topic, and the way back into segments. Beside `kafka_topic` the only module that knows Kafka.

A line is acknowledged when all in-sync replicas have it (`acks=all`, idempotent producer). The topic's
`min.insync.replicas` says how many those are at least: 2 of 3 is what brokers are run with where nothing may be lost.
A line is one message, which the topic takes up to its `max.message.bytes`; the address says the same to the producer
(`message.max.bytes`), so that what is longer is refused before anything is sent.

Pipelines read segments. `copy_topic` brings the topic into them, each message once: the name of a copied segment says
which offsets it holds and comes with it in one rename, so it is its own record of how far the copy is. A topic is not
erased: whoever asked for it is left out of the copy.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer

from intent_tracking.events.adapters.base import MAX_LINE_BYTES
from intent_tracking.events.erased import without_erased
from intent_tracking.events.kafka_topic import MESSAGE_BYTES, SIZE, KafkaAddress, KafkaLogError, ends_of, read, reported
from intent_tracking.events.log import LogRefusedError, require_lines
from intent_tracking.events.segment_log import ERASED, SEGMENT_BYTES, SEGMENT_SUFFIX
from intent_tracking.tables import atomic_file
from intent_tracking.tombstones import Erasures

LINGER_MILLISECONDS: Final = 5
"""How long a line waits for others: what concurrent callers bring within it reaches the broker in one request."""
DELIVERY_SECONDS: Final = 10.0
"""How long a delivery may take before it counts as failed; below the time limit of a request."""
ABANDONED_SECONDS: Final = 30.0
"""After how long the call of another process is over, dead or not: well beyond its delivery."""
_ENVELOPE_BYTES: Final = 512  # more than what the protocol puts around a line
_COPIED: Final = re.compile(r"kafka\.(?P<topic>.+)\.(?P<partition>\d+)\.(?P<first>\d{20})-(?P<last>\d{20})\.jsonl")


class _Delivery:
    """The lines of one call on their way: done when the broker has answered for each."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self._lock = threading.Lock()  # the broker answers in another thread
        self.error: KafkaError | None = None
        self.done = threading.Event()

    def count(self, error: KafkaError | None) -> None:
        self.error = self.error or error
        self.forget(1)

    def forget(self, count: int) -> None:
        """Wait for so many lines less: they are not on their way."""
        with self._lock:
            self._missing -= count
            if self._missing == 0:
                self.done.set()


class KafkaLog:
    """`EventLog` in the topic of `address` (see `KafkaAddress`). Thread-safe.

    Raises:
        KafkaLogError: no broker answers, or the topic is missing and cannot be made.
    """

    def __init__(self, address: str, *, delivery_seconds: float = DELIVERY_SECONDS) -> None:
        parsed = KafkaAddress.parse(address)
        self._topic = parsed.topic
        self._address = parsed
        self._writer = uuid.uuid4().hex[:12]
        self._delivery_seconds = delivery_seconds
        self.max_line_bytes = min(parsed.message_bytes - _ENVELOPE_BYTES, MAX_LINE_BYTES)
        # By partition the offset that comes next as far as this writer knows: what it appends stands there or later.
        self._next = ends_of(self._address)
        with reported(self._topic):
            self._producer = Producer(
                {
                    **parsed.properties,
                    "acks": "all",
                    "enable.idempotence": True,
                    "linger.ms": LINGER_MILLISECONDS,
                    "compression.type": "lz4",
                    SIZE: parsed.message_bytes,
                    "message.timeout.ms": round(delivery_seconds * 1000),
                    "log_level": 3,
                }
            )
        self._closing = threading.Event()
        self._polling = threading.Thread(target=self._poll, name="kafka-deliveries", daemon=True)
        self._polling.start()

    def append(self, lines: Sequence[bytes]) -> None:
        """Send `lines` and return when the broker has acknowledged each.

        Raises:
            ValueError: a line is empty, holds a newline or is too long; nothing of this call is sent.
            LogRefusedError: nothing of this call could be sent.
            KafkaLogError: a line was not acknowledged; it may be in the topic all the same, and others of the call.
        """
        require_lines(lines, self.max_line_bytes)
        if not lines:
            return
        delivery = _Delivery(len(lines))

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                partition, offset = message.partition(), message.offset()
                if partition is not None and offset is not None:
                    self._next[partition] = max(self._next.get(partition, 0), offset + 1)
            delivery.count(error)

        refused: Exception | None = None
        for sent, line in enumerate(lines):
            try:
                self._producer.produce(self._topic, line, on_delivery=delivered)
            except (BufferError, KafkaException) as error:
                if sent == 0:
                    raise LogRefusedError(f"event log, topic {self._topic}: {error}") from error
                # What is on its way already must be over before the sender hears of it and sends it again.
                delivery.forget(len(lines) - sent)
                refused = error
                break
        # The broker's client gives up by itself a little earlier, and says why.
        if not delivery.done.wait(self._delivery_seconds + 5.0):
            raise KafkaLogError(f"event log, topic {self._topic}: no answer within {self._delivery_seconds + 5.0} s")
        if refused is not None:
            raise KafkaLogError(f"event log, topic {self._topic}: {sent} lines are sent, then: {refused}") from refused
        if delivery.error is not None:
            raise KafkaLogError(f"event log, topic {self._topic}: {_in_words(delivery.error)}")

    def mark(self) -> str:
        """The name of this writer, the time, and for each partition the offset from which its next lines stand."""
        offsets = " ".join(f"{partition}:{offset}" for partition, offset in sorted(self._next.copy().items()))
        return f"{self._writer} {time.time():.0f} {offsets}"

    def is_abandoned(self, mark: str) -> bool:
        """Whether the writer of `mark` is this one, or took it so long ago that its call must be over."""
        writer, taken_at, *_ = mark.split(" ")
        return writer == self._writer or time.time() - float(taken_at) > ABANDONED_SECONDS

    def since(self, mark: str) -> Iterator[bytes]:
        """All lines of the topic from the offsets of `mark` to its present end."""
        offsets = {int(partition): int(offset) for partition, _, offset in (x.partition(":") for x in mark.split()[2:])}
        ends = ends_of(self._address)
        wanted = {partition: (offsets.get(partition, OFFSET_BEGINNING), end) for partition, end in ends.items()}
        for messages in read(self._address, wanted):
            yield from (value for message in messages if (value := message.value()) is not None)

    def close(self) -> None:
        """Wait for what is on its way and give the connections back."""
        if self._producer.flush(self._delivery_seconds):
            # Their senders were told: a producer that keeps them goes on looking for the broker.
            self._producer.purge()
            self._producer.flush(0)
        self._closing.set()
        self._polling.join()

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.1)


@dataclass(frozen=True)
class Copied:
    """What a copy brought: messages, those of them that an erasure keeps out, and the segments that hold the others."""

    messages: int
    erased: int
    segments: tuple[Path, ...]


def copy_topic(address: str, root: Path, erasures: Erasures, *, segment_bytes: int = SEGMENT_BYTES) -> Copied:
    """Copy what the topic of `address` holds beyond the copied segments under `root` into new ones there.

    Events that one of `erasures` takes do not reach the disk; an erased line stands where they were.
    A copy that is killed leaves whole segments or none; the next one goes on after the last. Only one runs at a time
    on a `root`, others wait for it. All copies of a topic must go to the same `root`.

    Raises:
        KafkaLogError: no broker answers; or messages are gone from the topic, or the topic itself was made anew, before
            they were copied.
        ErasureError: a record of an erasure cannot be read.
    """
    parsed = KafkaAddress.parse(address)
    root.mkdir(parents=True, exist_ok=True)
    segments: list[Path] = []
    messages = erased = 0
    with _alone(root / f".copy-{parsed.topic}"):
        for half in root.glob(".kafka.*"):
            found = _COPIED.match(half.name.removeprefix("."))
            if found is not None and found["topic"] == parsed.topic:
                half.unlink()  # of a copy that was killed
        ends = ends_of(parsed)
        firsts = _copied_to(root, parsed.topic)
        for partition, end in sorted(ends.items()):
            first = firsts.get(partition, OFFSET_BEGINNING)
            if first > end:
                raise KafkaLogError(
                    f"topic {parsed.topic}, partition {partition}: it ends at {end}, but offsets up to {first - 1} are "
                    f"copied to {root}: it was made anew; copy a topic of another name, or to another home"
                )
            for block in _blocks(parsed, partition, first, end, segment_bytes):
                path = root / _name(parsed.topic, partition, block[0][0], block[-1][0])
                lines = without_erased([line for _, line in block if line], erasures)
                with atomic_file(path) as temporary:
                    temporary.write_bytes(b"".join(line + b"\n" for line in lines))
                segments.append(path)
                messages += len(block)
                erased += lines.count(ERASED)
    return Copied(messages, erased, tuple(segments))


def _in_words(error: KafkaError) -> str:
    if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
        return error.str()
    return (
        f"{error.str()}; set max.message.bytes of the topic to at least {SIZE} of INTENT_EVENT_LOG_KAFKA "
        f"({MESSAGE_BYTES} where it is not set)"
    )


def _blocks(
    address: KafkaAddress, partition: int, first: int, end: int, segment_bytes: int
) -> Iterator[list[tuple[int, bytes]]]:
    """Offsets and lines of a partition from `first` to `end`, as much at once as a segment holds."""
    block: list[tuple[int, bytes]] = []
    size = 0
    for messages in read(address, {partition: (first, end)}):
        for message in messages:
            offset, line = message.offset(), message.value() or b""
            if offset is None:
                raise KafkaLogError(f"topic {address.topic}, partition {partition}: a message came without an offset")
            # A message of somebody else must become neither two lines nor, by a space before it, an erased one.
            block.append((offset, line.replace(b"\r", b" ").replace(b"\n", b" ").lstrip(b" ")))
            size += len(line) + 1
        if size >= segment_bytes:
            yield block
            block, size = [], 0
    if block:
        yield block


def _name(topic: str, partition: int, first: int, last: int) -> str:
    return f"kafka.{topic}.{partition}.{first:020d}-{last:020d}{SEGMENT_SUFFIX}"


def _copied_to(root: Path, topic: str) -> dict[int, int]:
    """By partition the offset after the last that is copied."""
    following: dict[int, int] = {}
    for path in root.glob(f"kafka.*{SEGMENT_SUFFIX}"):
        found = _COPIED.fullmatch(path.name)
        if found is not None and found["topic"] == topic:
            partition = int(found["partition"])
            following[partition] = max(following.get(partition, 0), int(found["last"]) + 1)
    return following


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
