"""The topic of the event log at its brokers: its address, its making, and its messages by offset."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # its stub does not export it elsewhere

BROKER_SECONDS: Final = 10.0
MESSAGE_BYTES: Final = 1_000_000
"""The longest message where the address does not say otherwise: what a topic takes that was not told otherwise."""
STALL_SECONDS: Final = 30.0
"""How long the broker may send nothing, with messages outstanding, before reading fails."""
_CONSUMED_AT_ONCE: Final = 1_000
_CONSUME_SECONDS: Final = 0.2
_OURS: Final = re.compile(r"(security|sasl|ssl)\.[a-z.]+|client\.id|client\.rack")
SIZE: Final = "message.max.bytes"


class KafkaLogError(OSError):
    """The broker cannot be reached or refuses. What was to be appended may be in the log all the same."""


@dataclass(frozen=True, repr=False)
class KafkaAddress:
    """`kafka://host:9092,host:9092/topic?security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=...`.

    `message_bytes` is the property `message.max.bytes`, at most the `max.message.bytes` of the topic.
    """

    topic: str
    properties: dict[str, str]
    message_bytes: int = MESSAGE_BYTES

    @classmethod
    def parse(cls, address: str) -> KafkaAddress:
        """From the value of `INTENT_EVENT_LOG_KAFKA`; properties are those of librdkafka.

        Raises:
            ValueError: a property is not one of security, client id, rack or message size; the others are what the log
                stands on.
        """
        parts = urlsplit(address)
        properties = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        size = properties.pop(SIZE, str(MESSAGE_BYTES))
        if wrong := sorted(name for name in properties if not _OURS.fullmatch(name)):
            raise ValueError(
                f"INTENT_EVENT_LOG_KAFKA sets {', '.join(wrong)}: only security.*, sasl.*, ssl.*, client.id, "
                f"client.rack and {SIZE} can be set"
            )
        if not re.fullmatch(r"[0-9]{4,9}", size):
            raise ValueError(f"INTENT_EVENT_LOG_KAFKA sets {SIZE} to {size[:20]}: take bytes, 1000 to 999999999")
        return cls(parts.path.strip("/"), {"bootstrap.servers": parts.netloc, **properties}, int(size))


def ends_of(address: KafkaAddress) -> dict[int, int]:
    """By partition of the topic the offset of the next message. A topic that is missing is made.

    Raises:
        KafkaLogError: no broker answers, or the topic is missing and cannot be made.
    """
    topic = address.topic
    with _consumer(address) as consumer:
        deadline = time.monotonic() + BROKER_SECONDS
        asked = False
        while (found := consumer.list_topics(topic, timeout=BROKER_SECONDS).topics[topic]).error is not None:
            if time.monotonic() > deadline:
                raise KafkaLogError(f"event log, topic {topic}: {found.error.str()}")
            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and not asked:
                _make(address)
                asked = True
            time.sleep(0.2)  # a new topic has no leader at once
        ends = {}
        for partition in found.partitions:
            offsets = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=BROKER_SECONDS)
            if offsets is None:
                raise KafkaLogError(f"event log, topic {topic}: no answer within {BROKER_SECONDS} s")
            ends[partition] = offsets[1]
        return ends


def _make(address: KafkaAddress) -> None:
    """Make the topic, with as many partitions and replicas as the brokers give a topic that does not say."""
    config = {} if address.message_bytes == MESSAGE_BYTES else {"max.message.bytes": str(address.message_bytes)}
    wanted = NewTopic(address.topic, num_partitions=-1, replication_factor=-1, config=config)
    admin = AdminClient({**address.properties, "log_level": 3})
    try:
        admin.create_topics([wanted], request_timeout=BROKER_SECONDS)[address.topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # made by another process meanwhile
            raise KafkaLogError(
                f"event log, topic {address.topic}: it is missing and cannot be made ({error.args[0].str()}): make it, "
                "or let this user create topics"
            ) from error


def read(address: KafkaAddress, wanted: dict[int, tuple[int, int]]) -> Iterator[list[Message]]:
    """The messages of each partition from its first offset up to, and without, its end.

    Raises:
        KafkaLogError: the broker is gone or stalls, or messages are gone before they were read.
    """
    topic = address.topic
    ends = {partition: end for partition, (first, end) in wanted.items() if first < end and end > 0}
    if not ends:
        return
    with _consumer(address) as consumer:
        consumer.assign([TopicPartition(topic, partition, wanted[partition][0]) for partition in ends])
        deadline = time.monotonic() + STALL_SECONDS
        while ends:
            found = consumer.consume(_CONSUMED_AT_ONCE, timeout=_CONSUME_SECONDS)
            if found:
                deadline = time.monotonic() + STALL_SECONDS
            elif time.monotonic() > deadline:
                raise KafkaLogError(f"event log, topic {topic}: the broker sends nothing for {STALL_SECONDS} s")
            kept: list[Message] = []
            for message in found:
                partition, offset, error = message.partition(), message.offset(), message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaLogError(
                        f"event log, topic {topic}, partition {partition}: {error.str()}; if the offset is out of "
                        "range, the topic's retention has removed messages that were not read yet"
                    )
                if partition is None or offset is None or partition not in ends:
                    continue
                if error is None and offset < ends[partition]:
                    kept.append(message)
                # The end may come as a message of its own: the last offsets of a topic need not hold any.
                if error is not None or offset >= ends[partition] - 1:
                    del ends[partition]
            if kept:
                yield kept


@contextmanager
def _consumer(address: KafkaAddress) -> Iterator[Consumer]:
    """A reader by offset: no group, nothing is committed; an offset that is gone is an error, not a jump."""
    own: dict[str, Any] = {
        **address.properties,
        "group.id": f"intent-tracking-{uuid.uuid4().hex[:8]}",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "allow.auto.create.topics": True,
        "log_level": 3,
    }
    with reported(address.topic):
        consumer = Consumer(own)
        try:
            yield consumer
        finally:
            consumer.close()


@contextmanager
def reported(topic: str) -> Iterator[None]:
    """Raise what Kafka's client raises as a `KafkaLogError`."""
    try:
        yield
    except KafkaException as error:
        raise KafkaLogError(f"event log, topic {topic}: {error.args[0].str()}") from error
