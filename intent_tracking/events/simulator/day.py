"""One simulated day: its sessions acted out, turned into log lines, and annotated as a support desk would."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from intent_tracking.events.contract import SCENE_OF_EVENT, SCHEMA_VERSION
from intent_tracking.events.simulator.behaviour import Act
from intent_tracking.events.simulator.config import SimulationConfig
from intent_tracking.events.simulator.faults import Clock, FaultInjector, Line
from intent_tracking.events.simulator.intents import CONFUSED_WITH
from intent_tracking.events.simulator.plan import DAY_MS, SessionPlan, Shop
from intent_tracking.events.simulator.scripts import act_out

_SCENES: Final = {str(name): str(scene) for name, scene in SCENE_OF_EVENT.items()}
_EPOCH: Final = date(1970, 1, 1)
_LINES_PER_DAY: Final = 100_000_000  # room for the serial numbers of one day's lines


@dataclass(frozen=True, slots=True)
class Annotation:
    """A label as the desk wrote it, and the day on which it did (index from the opening)."""

    day: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _ActedSession:
    """A session with its events, still without faults; `times` in milliseconds since 1970."""

    name: str
    session_id: str | None
    plan: SessionPlan
    act: Act
    events: list[dict[str, Any]]
    times: list[int]


@dataclass(frozen=True, slots=True)
class SimulatedDay:
    """All that the sessions starting on one day leave behind.

    Attributes:
        lines: log lines by session; they may arrive up to a week later.
        annotations: labels of sessions and messages.
        truth: what really was the case, one JSON-ready row a session, a message or a faulty line.
    """

    day: int
    lines: list[Line]
    annotations: list[Annotation]
    truth: list[dict[str, Any]]


def _midnight_ms(config: SimulationConfig, day: int) -> int:
    return (config.date_of(day) - _EPOCH).days * DAY_MS


def _acted_sessions(config: SimulationConfig, day: int, shop: Shop) -> Iterator[_ActedSession]:
    """The sessions of a day in the order of their start: the one source of log files and live streams."""
    midnight = _midnight_ms(config, day)
    rng = shop.rng("behaviour", day)
    for number, plan in enumerate(shop.sessions(day)):
        act = act_out(shop, plan, day, rng)
        name = f"s{day:04d}-{number:06d}"
        session_id = None if rng.random() < config.faults.no_session_id else name
        shopper = plan.shopper
        identity = {"user_id": shopper.user_id, "anonymous_id": shopper.anonymous_id, "session_id": session_id}
        envelope: dict[str, Any] = {key: value for key, value in identity.items() if value is not None}
        envelope["source"] = shopper.source
        events: list[dict[str, Any]] = []
        times: list[int] = []
        now = midnight + plan.start_ms
        for step, (event_name, params, gap) in enumerate(act.steps):
            if step:
                now += gap
            events.append(
                {
                    "event_id": f"e{day:04d}-{number:06d}-{step:03d}",
                    "event_name": event_name,
                    "event_time": None,
                    "received_time": None,
                    **envelope,
                    "scene": _SCENES[event_name],
                    "schema_version": SCHEMA_VERSION,
                    "params": params,
                }
            )
            times.append(now)
        yield _ActedSession(name, session_id, plan, act, events, times)


class _Desk:
    """People who label a share of what they see, on the same day or the next, sometimes wrongly."""

    def __init__(self, config: SimulationConfig, rng: random.Random, day: int) -> None:
        self._rates = config.annotation
        self._rng = rng
        self._day = day
        self._midnight = _midnight_ms(config, day) // 1_000
        self._clock = Clock()

    def look_at(self, row: dict[str, Any], share: float, case: dict[str, Any], labels: list[Annotation]) -> None:
        """Perhaps label the case of a truth row: adds to `labels`, and notes it in the row."""
        if self._rng.random() >= share:
            return
        intent = row["intent"]
        wrong = self._rng.random() < self._rates.wrong
        if wrong:
            others = CONFUSED_WITH[intent]
            intent = others[int(self._rng.random() * len(others))]
        next_day = self._rng.random() < self._rates.next_day
        # The desk works through the day's cases in its last hour, or on the next morning.
        second = self._midnight + (32 if next_day else 23) * 3_600 + int(self._rng.random() * 3_500)
        record = {**case, "intent": intent, "annotated_at": self._clock.text(second * 1_000)}
        labels.append(Annotation(self._day + next_day, record))
        row |= {"annotated": True, "annotated_wrongly": wrong}


def _session_row(session: _ActedSession) -> dict[str, Any]:
    plan = session.plan
    return {
        "kind": "session",
        "session": session.name,
        "session_id": session.session_id,
        "shopper_id": plan.shopper.shopper_id,
        "persona": plan.shopper.persona,
        "intent": plan.intent,
        "language": plan.shopper.language,
        "scene": session.events[-1]["scene"],
        "bot": plan.bot,
        "fraud": plan.fraud,
        "purchased": any(step[0] == "purchase" for step in session.act.steps),
        "events": len(session.events),
        "messages": len(session.act.messages),
        "annotated": False,
        "annotated_wrongly": False,
    }


def _message_rows(session: _ActedSession) -> Iterator[dict[str, Any]]:
    for step, intent, message in session.act.messages:
        yield {
            "kind": "message",
            "event_id": session.events[step]["event_id"],
            "session": session.name,
            "intent": intent,
            "language": session.plan.shopper.language,
            "scene": session.events[step]["scene"],
            "slots": [
                {"name": slot, "start": start, "end": end, "value": message.text[start:end]}
                for slot, start, end in message.slots
            ],
            "wording": message.wording,
            "ambiguous": message.ambiguous,
            "personal_data": list(message.personal),
            "annotated": False,
            "annotated_wrongly": False,
        }


def simulate_day(config: SimulationConfig, day: int, shop: Shop | None = None) -> SimulatedDay:
    """Everything that starts on `day` (index from the opening), whatever else has been generated before.

    Args:
        shop: a shop of the same configuration, to spare the work of building it again for each day.

    Raises:
        ValueError: the day is before the opening.
    """
    if day < 0:
        raise ValueError(f"day {day} is before the opening of the shop (day 0)")
    shop = shop or Shop(config)
    desk = _Desk(config, shop.rng("annotations", day), day)
    injector = FaultInjector(config.faults, shop.rng("faults", day), day * _LINES_PER_DAY)
    simulated = SimulatedDay(day, [], [], [])
    for session in _acted_sessions(config, day, shop):
        lines = injector.lines(session.events, session.times)
        simulated.lines.extend(lines)
        row = _session_row(session)
        if session.session_id is not None and not session.plan.bot and not session.plan.fraud:
            case = {"session_id": session.session_id, "slots": [], **{key: row[key] for key in ("language", "scene")}}
            desk.look_at(row, config.annotation.sessions, case, simulated.annotations)
        simulated.truth.append(row)
        for row in _message_rows(session):
            case = {key: row[key] for key in ("event_id", "language", "scene", "slots")}
            desk.look_at(row, config.annotation.messages, case, simulated.annotations)
            simulated.truth.append(row)
        simulated.truth.extend(
            {"kind": "fault", "event_id": line.event_id, "fault": line.fault, "outcome": line.outcome}
            for line in lines
            if line.fault is not None
        )
    return simulated


def stream_day(config: SimulationConfig, day: int, shop: Shop | None = None) -> Iterator[dict[str, Any]]:
    """The sound events of one day in the order of their time, for sending to a live service.

    Each is a contract event as a dict. The faults of the log files are left out: what a live service receives twice or
    broken is for its caller to decide.

    Raises:
        ValueError: the day is before the opening.
    """
    if day < 0:
        raise ValueError(f"day {day} is before the opening of the shop (day 0)")
    clock = Clock()
    found: list[tuple[int, str, dict[str, Any]]] = []
    for session in _acted_sessions(config, day, shop or Shop(config)):
        for event, at in zip(session.events, session.times, strict=True):
            event["event_time"] = event["received_time"] = clock.text(at)
            found.append((at, event["event_id"], event))
    found.sort(key=lambda each: each[:2])
    for _, _, event in found:
        yield event
