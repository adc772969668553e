"""What goes wrong between a shopper's device and the log file: late, repeated, broken and wrongly timed lines.

Each line carries the outcome that a correct pipeline must give it, so conservation can be checked to the line.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

import orjson

from intent_tracking.events.arrival import CLOCK_AHEAD, LOOKBACK_DAYS
from intent_tracking.events.quarantine import QuarantineReason
from intent_tracking.events.simulator.config import FaultRates
from intent_tracking.events.simulator.plan import DAY_MS

LATEST_ARRIVAL_DAYS: Final = 7
"""No line of a session arrives more days after the session's start than this."""

ACCEPTED: Final = "accepted"
DUPLICATE: Final = "duplicate"
_MAX_DUPLICATE_DELAY_MS: Final = 2 * 3_600_000
_CLOCK_AHEAD_MS: Final = int(CLOCK_AHEAD.total_seconds() * 1000)

_MINUTES: Final = tuple(f"{hour:02d}:{minute:02d}:" for hour in range(24) for minute in range(60))
_MILLISECONDS: Final = tuple(f"{second:02d}.{ms:03d}Z" for second in range(60) for ms in range(1000))


class Line(NamedTuple):
    """One line of a log file. Times are milliseconds since 1970; `fault` is None for a sound line."""

    received_ms: int
    serial: int
    raw: bytes
    event_id: str
    event_ms: int
    outcome: str
    fault: str | None


class Clock:
    """Milliseconds since 1970 to ISO 8601 text, fast; remembers the days it has seen."""

    def __init__(self) -> None:
        self._days: dict[int, str] = {}

    def text(self, ms: int) -> str:
        """As `2026-01-05T10:00:00.000Z`."""
        day, rest = divmod(ms, DAY_MS)
        prefix = self._days.get(day)
        if prefix is None:
            prefix = self._days[day] = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%dT")
        minute, ms = divmod(rest, 60_000)
        return prefix + _MINUTES[minute] + _MILLISECONDS[ms]


def day_of(ms: int) -> date:
    """The UTC date of a time in milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).date()


def partition_of(line: Line) -> date:
    """The daily partition that a pipeline with a lookback of three days puts the line into."""
    in_time = _timely(line.event_ms, line.received_ms) == ACCEPTED
    return day_of(min(line.event_ms, line.received_ms) if in_time else line.received_ms)


def _timely(event_ms: int, received_ms: int) -> str:
    if event_ms - received_ms > _CLOCK_AHEAD_MS:
        return QuarantineReason.FROM_THE_FUTURE.value
    late = received_ms // DAY_MS - event_ms // DAY_MS
    return ACCEPTED if late <= LOOKBACK_DAYS else QuarantineReason.TOO_LATE.value


class FaultInjector:
    """Turns the sound events of one session after another into log lines, with faults at the stated rates."""

    def __init__(self, rates: FaultRates, rng: random.Random, first_serial: int) -> None:
        self._rates = rates
        self._rng = rng
        self._serial = first_serial
        self._clock = Clock()
        self._any_event_fault = rates.duplicate + rates.malformed + rates.clock_ahead + rates.clock_behind

    def lines(self, events: list[dict[str, Any]], times: list[int]) -> list[Line]:
        """The lines of one session. Sets `event_time` and `received_time` of each event."""
        rates, rng, random_ = self._rates, self._rng, self._rng.random
        text = self._clock.text
        skew = int((random_() - 0.5) * 180_000) if random_() < rates.skewed_session else 0
        batch_from, batch_at = self._offline_tail(times)
        found: list[Line] = []
        for at, (event, true_ms) in enumerate(zip(events, times, strict=True)):
            event_ms = true_ms + skew
            received_ms = true_ms + 40 + int(random_() * 2_000) if at < batch_from else batch_at + at
            fault = "late" if at >= batch_from else "skewed" if skew else None
            chosen = random_()
            if chosen < self._any_event_fault:
                chosen -= rates.clock_ahead
                if chosen < 0:
                    event_ms, fault = received_ms + int((1 + rng.random() * 29) * DAY_MS), "clock_ahead"
                elif (chosen := chosen - rates.clock_behind) < 0:
                    event_ms, fault = true_ms - int((5 + rng.random() * 395) * DAY_MS), "clock_behind"
            event["event_time"] = text(event_ms)
            event["received_time"] = text(received_ms)
            outcome = _timely(event_ms, received_ms)
            raw = orjson.dumps(event)
            event_id = event["event_id"]
            self._serial += 1
            if chosen < 0 or chosen >= rates.duplicate + rates.malformed or outcome != ACCEPTED:
                found.append(Line(received_ms, self._serial, raw, event_id, event_ms, outcome, fault))
                continue
            if chosen < rates.duplicate:
                found.append(Line(received_ms, self._serial, raw, event_id, event_ms, outcome, fault))
                found.extend(self._repeat(event, event_id, event_ms, received_ms, raw))
            elif received_ms // DAY_MS == event_ms // DAY_MS:
                # A broken line must land in one partition whether or not its own time can still be read.
                raw, outcome, fault = break_event(event, raw, rng)
                found.append(Line(received_ms, self._serial, raw, event_id, event_ms, outcome, fault))
            else:
                found.append(Line(received_ms, self._serial, raw, event_id, event_ms, outcome, fault))
        return found

    def _offline_tail(self, times: list[int]) -> tuple[int, int]:
        """Position from which a session's events wait on the device, and when they arrive together."""
        drawn = self._rng.random()
        rates = self._rates
        if drawn >= rates.late_session + rates.too_late_session:
            return len(times), 0
        first = int(self._rng.random() * len(times))
        last = times[-1]
        if drawn < rates.late_session:
            # Counted in days of the log: an event may arrive until the end of the third day after its own.
            latest = (times[first] // DAY_MS + LOOKBACK_DAYS + 1) * DAY_MS - 60_000
            return first, last + int(self._rng.random() ** 2 * max(0, latest - last))
        day = last // DAY_MS + LOOKBACK_DAYS + 1 + int(self._rng.random() * 2)
        return first, day * DAY_MS + int(self._rng.random() * (DAY_MS - 60_000))

    def _repeat(self, event: dict[str, Any], event_id: str, event_ms: int, received_ms: int, raw: bytes) -> list[Line]:
        """The same event again: redelivered as it was, or sent again by the device a while later."""
        again = received_ms
        if self._rng.random() < 0.5:
            again += 1 + int(self._rng.random() ** 2 * _MAX_DUPLICATE_DELAY_MS)
            if _timely(event_ms, again) != ACCEPTED:
                again = received_ms
            else:
                raw = orjson.dumps({**event, "received_time": self._clock.text(again)})
        self._serial += 1
        return [Line(again, self._serial, raw, event_id, event_ms, DUPLICATE, "duplicate")]


def break_event(event: dict[str, Any], raw: bytes, rng: random.Random) -> tuple[bytes, str, str]:
    """A malformed form of a sound event: its bytes, the reason it must be quarantined for, the kind of fault."""
    drawn = rng.random()
    params = event["params"]
    if drawn < 0.3:
        cut = raw[: 10 + int(rng.random() * (len(raw) - 12))]
        return cut, QuarantineReason.UNREADABLE.value, "broken_json"
    if drawn < 0.5:
        missing = ("event_id", "event_name", "event_time")[int(rng.random() * 3)]
        kept = {key: value for key, value in event.items() if key != missing}
        return orjson.dumps(kept), QuarantineReason.MISSING_FIELD.value, "missing_field"
    if drawn < 0.6:
        kept = {key: value for key, value in event.items() if key not in ("user_id", "anonymous_id")}
        return orjson.dumps(kept), QuarantineReason.MISSING_IDENTITY.value, "missing_identity"
    if drawn < 0.75:
        named = {
            **event,
            "event_name": ("page_ping", "Order Completed", "viewItem", "addCart")[int(rng.random() * 4)],
        }
        return orjson.dumps(named), QuarantineReason.UNKNOWN_EVENT.value, "unknown_name"
    if drawn < 0.85:
        extra = {**event, "params": {**params, "debug": True}}
        return orjson.dumps(extra), QuarantineReason.UNEXPECTED_FIELD.value, "unknown_field"
    wrong: dict[str, Any] = (
        {**event, "event_time": "yesterday evening"},
        {**event, "params": "n/a"},
        {**event, "params": {**params, "items": {"item_id": "P00001"}}},
        {**event, "params": {**params, "value": "a lot", "currency": "USD"}},
    )[int(rng.random() * 4)]
    return orjson.dumps(wrong), QuarantineReason.INVALID_VALUE.value, "wrong_type"
