"""Events through a broker into the segments that the pipeline reads, and a broker that is gone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from bentos.intent_service.metrics import Metrics
from bentos.intent_service.tracking import Tracker
from intent_tracking.erasure.proof import prove
from intent_tracking.erasure.stored import erase_stored
from intent_tracking.events.ingest import collect
from intent_tracking.events.kafka_log import KafkaLog, copy_topic
from intent_tracking.events.kafka_topic import KafkaAddress, KafkaLogError
from intent_tracking.events.segment_log import read_log
from intent_tracking.sessions.state import open_session_store
from intent_tracking.settings import Settings
from intent_tracking.tombstones import Erasures
from tests.fakes.kafka_broker import kafka_broker
from tests.fakes.kafka_without_topics import kafka_without_topics
from tests.fakes.service_client import message

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
# Dies in the rename of the second segment: the worst moment, when the first is there and the second nearly.
KILLED_COPY = """
import os, signal, sys
from pathlib import Path
renamed = []
def die(event, arguments):
    if event == "os.rename" and ".jsonl" in str(arguments[1]):
        renamed.append(arguments)
        if len(renamed) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
from intent_tracking.events.kafka_log import copy_topic
from intent_tracking.tombstones import Erasures
root = Path(sys.argv[2])
copy_topic(sys.argv[1], root, Erasures(root), segment_bytes=200)
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with kafka_broker() as address:
        yield address


def copied(root: Path) -> list[bytes]:
    return [line.data for line in read_log(root)]


def test_tracked_events_go_through_the_topic_into_the_day(broker: str, tmp_path: Path) -> None:
    address = f"kafka://{broker}/tracked"
    tracker = Tracker(Settings(home=tmp_path, event_log_kafka=SecretStr(address)), Metrics())
    now = datetime.now(UTC)
    first = tracker.track([message(number) for number in range(5)], now)
    again = tracker.track([message(number) for number in range(3, 8)], now)
    tracker.close()
    assert (first.accepted, again.accepted, again.duplicates) == (5, 3, 2)
    assert copy_topic(address, tmp_path / "event_log", Erasures(tmp_path)).messages == 8
    days = sorted({datetime.fromisoformat(message(0)["event_time"]).date(), now.date()})
    rows = [row for _, table in collect(tmp_path, days) for row in table["raw"].to_pylist()]
    assert sorted(json.loads(row)["event_id"] for row in rows) == [f"e{number}" for number in range(8)]


def test_a_copy_takes_each_message_once_however_often_it_runs(broker: str, tmp_path: Path) -> None:
    address = f"kafka://{broker}/copied"
    log = KafkaLog(address)
    written: list[bytes] = []
    for turn in range(3):
        lines = [b"%d-%d" % (turn, number) for number in range(40)]
        log.append(lines)
        written += lines
        assert copy_topic(address, tmp_path, Erasures(tmp_path), segment_bytes=100).messages == 40
        assert copy_topic(address, tmp_path, Erasures(tmp_path)).messages == 0
        assert sorted(copied(tmp_path)) == sorted(written)
    log.close()


def test_a_copy_that_is_killed_loses_and_doubles_nothing(broker: str, tmp_path: Path) -> None:
    address = f"kafka://{broker}/killed"
    log = KafkaLog(address)
    written = [b"line-%03d-" % number + b"x" * 40 for number in range(200)]
    log.append(written)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_COPY, address, str(tmp_path)], cwd=ROOT, timeout=120, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    halfway = copied(tmp_path)
    assert 0 < len(halfway) < 200
    log.append([b"later"])
    log.close()
    assert copy_topic(address, tmp_path, Erasures(tmp_path)).messages == 201 - len(halfway)
    assert sorted(copied(tmp_path)) == sorted([*written, b"later"])
    assert not list(tmp_path.glob(".kafka.*"))


def test_what_another_topic_left_half_copied_is_its_own(broker: str, tmp_path: Path) -> None:
    halves = [tmp_path / f".kafka.{topic}.0.{0:020d}-{9:020d}.jsonl.x1" for topic in ("half", "half.more")]
    for half in halves:
        half.write_bytes(b"half")
    copy_topic(f"kafka://{broker}/half", tmp_path, Erasures(tmp_path))
    assert [half.exists() for half in halves] == [False, True]


def test_nobody_who_was_erased_comes_back_by_the_topic(broker: str, tmp_path: Path) -> None:
    # Cause: what was not copied yet told no devices, and came to the disk with its names after the proof.
    address = f"kafka://{broker}/erased"
    settings = Settings(home=tmp_path, event_log_kafka=SecretStr(address))
    tracker = Tracker(settings, Metrics())
    now = datetime.now(UTC)
    person = [message(1, shopper="d-phone") | {"user_id": "u-1842"}, message(2, shopper="d-phone")]
    tracker.track([*person, message(3, shopper="d-other")], now)
    tracker.erase("u-1842", now)
    sessions = open_session_store(settings)
    erase_stored(settings, sessions)
    sessions.close()
    (proved,) = prove(settings)
    assert (proved.finished, proved.proof.hits) == (True, 0), proved.proof
    assert [json.loads(line)["event_id"] for line in copied(settings.event_log)] == ["e3"]
    # What another process was only sending while the person asked, and a home that lost its copies.
    log = KafkaLog(address)
    log.append([json.dumps(each | {"received_time": now.isoformat()}).encode() for each in person])
    log.close()
    tracker.close()
    late = copy_topic(address, settings.event_log, Erasures(tmp_path))
    assert (late.messages, late.erased) == (2, 2)
    for segment in settings.event_log.glob("kafka.*"):
        segment.unlink()
    again = copy_topic(address, settings.event_log, Erasures(tmp_path))
    assert (again.messages, again.erased) == (5, 4)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or not re.search(rb"u-1842|d-phone", path.read_bytes()), path


def test_a_message_of_somebody_else_stays_one_line(broker: str, tmp_path: Path) -> None:
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    for value in (b"two\r\nlines", b"", None, b" plain"):
        producer.produce("foreign", value, partition=0)
    producer.flush(30)
    address = f"kafka://{broker}/foreign"
    assert copy_topic(address, tmp_path, Erasures(tmp_path)).messages == 4
    assert copied(tmp_path) == [b"two  lines", b"plain"]
    assert copy_topic(address, tmp_path, Erasures(tmp_path)).messages == 0


def test_a_topic_that_ends_before_what_was_copied_was_made_anew(broker: str, tmp_path: Path) -> None:
    (tmp_path / f"kafka.anew.0.{0:020d}-{99:020d}.jsonl").write_bytes(b"old\n")
    with pytest.raises(KafkaLogError, match="made anew"):
        copy_topic(f"kafka://{broker}/anew", tmp_path, Erasures(tmp_path))


def test_a_topic_that_is_missing_is_made_as_the_brokers_make_topics(tmp_path: Path) -> None:
    # Cause: brokers that make no topics by themselves, as those of the Compose file, let nothing start.
    with kafka_without_topics() as topics:
        for query in ("", "?message.max.bytes=5000000"):
            name = f"events{len(query)}"
            assert copy_topic(f"kafka://{topics.address}/{name}{query}", tmp_path, Erasures(tmp_path)).messages == 0
        assert topics.made == {
            "events0": (-1, -1, {}),
            "events26": (-1, -1, {"max.message.bytes": "5000000"}),
        }
        topics.closed = True
        with pytest.raises(KafkaLogError, match=r"topic other: it is missing and cannot be made \(.+\): make it"):
            copy_topic(f"kafka://{topics.address}/other", tmp_path, Erasures(tmp_path))


def test_a_broker_that_is_gone_acknowledges_nothing() -> None:
    with kafka_broker() as address:
        # The topic is made in the time that making takes.
        first, log = KafkaLog(f"kafka://{address}/gone"), KafkaLog(f"kafka://{address}/gone", delivery_seconds=10.0)
        for each in (first, log):
            each.append([b"one"])
        first.close()
    with pytest.raises(KafkaLogError, match="topic gone"):
        log.append([b"two"])
    log.close()


def test_what_was_sent_before_a_refusal_is_over_when_the_call_is() -> None:
    # Cause: the call failed at the first line that did not fit into the client's queue (100,000 lines), and those
    # before it reached the topic after the sender had been told to send all of them again.
    with kafka_broker() as address:
        log = KafkaLog(f"kafka://{address}/full", delivery_seconds=10.0)
    begin = time.monotonic()
    with pytest.raises(KafkaLogError, match=r"100000 lines are sent, then:.*[Qq]ueue full"):
        log.append([b"x"] * 100_001)
    assert time.monotonic() - begin > 9.7
    log.close()


def test_an_event_that_no_message_can_hold_is_rejected_and_those_beside_it_are_taken(
    broker: str, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    items = [{"item_id": f"p{number}", "item_name": "n" * 300, "item_brand": "b" * 300} for number in range(2_000)]
    params = {"transaction_id": "t1", "currency": "EUR", "value": 2.0, "items": items}
    purchase = message(1) | {"event_name": "purchase", "params": params}
    for address, accepted in ((f"kafka://{broker}/small", 2), (f"kafka://{broker}/large?message.max.bytes=5000000", 3)):
        home = tmp_path / str(accepted)
        tracker = Tracker(Settings(home=home, event_log_kafka=SecretStr(address)), Metrics())
        tracked = tracker.track([message(0), purchase, message(2)], now)
        again = tracker.track([message(0), purchase, message(2)], now)
        tracker.close()
        assert (tracked.accepted, again.accepted, again.duplicates) == (accepted, 0, accepted)
        refused = [(each.index, each.reason) for each in tracked.rejected]
        assert refused == ([] if accepted == 3 else [(1, "too_long")])
        assert again.rejected == tracked.rejected
        assert copy_topic(address, home / "event_log", Erasures(home)).messages == accepted


def test_only_security_and_size_can_be_set() -> None:
    parsed = KafkaAddress.parse("kafka://a:9092,b:9092/events?security.protocol=SASL_SSL&sasl.password=p%26q")
    assert parsed.topic == "events"
    assert parsed.properties == {
        "bootstrap.servers": "a:9092,b:9092",
        "security.protocol": "SASL_SSL",
        "sasl.password": "p&q",
    }
    assert "p&q" not in repr(parsed)
    with pytest.raises(ValueError, match="sets acks:"):
        KafkaAddress.parse("kafka://a:9092/events?acks=1")
    assert KafkaAddress.parse("kafka://a:9092/events?message.max.bytes=5000000").message_bytes == 5_000_000
    with pytest.raises(ValueError, match=r"message\.max\.bytes to much"):
        KafkaAddress.parse("kafka://a:9092/events?message.max.bytes=much")
