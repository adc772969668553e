"""A Kafka broker on a port of this machine: the mock cluster that Kafka's C client brings along.

It speaks the real protocol over TCP, so the adapter connects to it as to any broker; it keeps topics in memory (four
partitions), makes them when asked, and cannot look up offsets by time. It is not Kafka: replication and retention are
not tested by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer


@contextmanager
def kafka_broker() -> Iterator[str]:
    """Start a broker and give its `host:port`; it ends with the context."""
    owner = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = owner.list_topics(timeout=30).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del owner
