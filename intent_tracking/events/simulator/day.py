"""One simulated day: its sessions acted out, turned into log lines, and annotated as a support desk would."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from intent_tracking.events.contract import SCENE_OF_EVENT, SCHEMA_VERSION
from intent_tracking.events.simulator.behaviour import Act, act_out
from intent_tracking.events.simulator.config import SimulationConfig
from intent_tracking.events.simulator.faults import Clock, FaultInjector, Line
from intent_tracking.events.simulator.intents import CONFUSED_WITH
from intent_tracking.events.simulator.plan import SessionPlan, Shop

_SCENES: Final = {str(name): str(scene) for name, scene in SCENE_OF_EVENT.items()}
_LINES_PER_DAY: Final = 100_000_000  # room for the serial numbers of one day's lines


@dataclass(frozen=True, slots=True)
class Annotation:
    """A label as the desk wrote it, and the day on which it did (index from the opening)."""

    day: int
    record: dict[str, Any]


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


def _envelope(plan: SessionPlan, session_id: str | None) -> dict[str, Any]:
    shopper = plan.shopper
    envelope: dict[str, Any] = {}
    if shopper.user_id is not None:
        envelope["user_id"] = shopper.user_id
    if shopper.anonymous_id is not None:
        envelope["anonymous_id"] = shopper.anonymous_id
    if session_id is not None:
        envelope["session_id"] = session_id
    envelope["source"] = shopper.source
    return envelope


def _events(act: Act, envelope: dict[str, Any], prefix: str, start: int) -> tuple[list[dict[str, Any]], list[int]]:
    events: list[dict[str, Any]] = []
    times: list[int] = []
    now = start
    for number, (name, params, gap) in enumerate(act.steps):
        if number:
            now += gap
        events.append(
            {
                "event_id": f"{prefix}{number:03d}",
                "event_name": name,
                "event_time": None,
                "received_time": None,
                **envelope,
                "scene": _SCENES[name],
                "schema_version": SCHEMA_VERSION,
                "params": params,
            }
        )
        times.append(now)
    return events, times


class _Desk:
    """People who label a share of what they see, on the same day or the next, sometimes wrongly."""

    def __init__(self, config: SimulationConfig, rng: random.Random, day: int) -> None:
        self._rates = config.annotation
        self._rng = rng
        self._day = day
        self._midnight = int(datetime.fromisoformat(config.date_of(day).isoformat()).replace(tzinfo=UTC).timestamp())
        self._clock = Clock()

    def label(self, intent: str, share: float, record: dict[str, Any]) -> tuple[Annotation | None, bool]:
        """The label of a session or message, or None where nobody looked; and whether it is wrong."""
        if self._rng.random() >= share:
            return None, False
        wrong = self._rng.random() < self._rates.wrong
        if wrong:
            others = CONFUSED_WITH[intent]
            intent = others[int(self._rng.random() * len(others))]
        late = self._rng.random() < self._rates.next_day
        # The desk works through the day's cases in its last hour, or on the next morning.
        second = self._midnight + (86_400 + 8 * 3_600 if late else 23 * 3_600) + int(self._rng.random() * 3_500)
        annotated = {**record, "intent": intent, "annotated_at": self._clock.text(second * 1_000)}
        return Annotation(self._day + late, annotated), wrong


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
    midnight = int(datetime.fromisoformat(config.date_of(day).isoformat()).replace(tzinfo=UTC).timestamp()) * 1_000
    rng = shop.rng("behaviour", day)
    desk = _Desk(config, shop.rng("annotations", day), day)
    injector = FaultInjector(config.faults, shop.rng("faults", day), day * _LINES_PER_DAY)
    lines: list[Line] = []
    annotations: list[Annotation] = []
    truth: list[dict[str, Any]] = []
    for number, plan in enumerate(shop.sessions(day)):
        act = act_out(shop, plan, day, rng)
        name = f"s{day:04d}-{number:06d}"
        session_id = None if rng.random() < config.faults.no_session_id else name
        events, times = _events(act, _envelope(plan, session_id), f"e{day:04d}-{number:06d}-", midnight + plan.start_ms)
        session_lines = injector.lines(events, times)
        lines += session_lines
        truth.append(_session_truth(name, session_id, plan, events, act))
        if plan.intent is not None and not plan.fraud and session_id is not None:
            label, wrong = desk.label(
                plan.intent,
                config.annotation.sessions,
                {
                    "session_id": session_id,
                    "language": plan.shopper.language,
                    "scene": events[-1]["scene"],
                    "slots": [],
                },
            )
            if label is not None:
                annotations.append(label)
                truth[-1] |= {"annotated": True, "annotated_wrongly": wrong}
        for step, intent, message in act.messages:
            event_id = events[step]["event_id"]
            record = {
                "event_id": event_id,
                "language": plan.shopper.language,
                "scene": events[step]["scene"],
                "slots": [{"name": slot, "start": start, "end": end} for slot, start, end in message.slots],
            }
            label, wrong = desk.label(intent, config.annotation.messages, record)
            if label is not None:
                annotations.append(label)
            truth.append(
                {
                    "kind": "message",
                    **record,
                    "session": name,
                    "intent": intent,
                    "wording": message.wording,
                    "ambiguous": message.ambiguous,
                    "personal_data": list(message.personal),
                    "annotated": label is not None,
                    "annotated_wrongly": wrong,
                }
            )
        truth += [
            {"kind": "fault", "event_id": line.event_id, "fault": line.fault, "outcome": line.outcome}
            for line in session_lines
            if line.fault is not None
        ]
    return SimulatedDay(day, lines, annotations, truth)


def _session_truth(
    name: str, session_id: str | None, plan: SessionPlan, events: list[dict[str, Any]], act: Act
) -> dict[str, Any]:
    return {
        "kind": "session",
        "session": name,
        "session_id": session_id,
        "shopper_id": plan.shopper.shopper_id,
        "persona": plan.shopper.persona,
        "intent": plan.intent,
        "language": plan.shopper.language,
        "scene": events[-1]["scene"],
        "bot": plan.bot,
        "fraud": plan.fraud,
        "purchased": any(step[0] == "purchase" for step in act.steps),
        "events": len(events),
        "messages": len(act.messages),
        "annotated": False,
        "annotated_wrongly": False,
    }


def stream_day(config: SimulationConfig, day: int, shop: Shop | None = None) -> Iterator[dict[str, Any]]:
    """The sound events of one day in the order of their time, for sending to a live service.

    Each is a contract event as a dict. The faults of the log files are left out: what a live service receives twice or
    broken is for its caller to decide.
    """
    shop = shop or Shop(config)
    midnight = int(datetime.fromisoformat(config.date_of(day).isoformat()).replace(tzinfo=UTC).timestamp()) * 1_000
    rng = shop.rng("behaviour", day)
    clock = Clock()
    found: list[tuple[int, str, dict[str, Any]]] = []
    for number, plan in enumerate(shop.sessions(day)):
        act = act_out(shop, plan, day, rng)
        session_id = None if rng.random() < config.faults.no_session_id else f"s{day:04d}-{number:06d}"
        events, times = _events(act, _envelope(plan, session_id), f"e{day:04d}-{number:06d}-", midnight + plan.start_ms)
        for event, at in zip(events, times, strict=True):
            event["event_time"] = event["received_time"] = clock.text(at)
            found.append((at, event["event_id"], event))
    found.sort(key=lambda each: each[:2])
    for _, _, event in found:
        yield event
