"""The queue of what people look at, and their decisions, which become the labels of the next model.

A day's scores say what was queued. A decision is one line of JSON in `<home>/annotations/risk/`: written by the command
line, or by any program of the shop that appends lines of this form.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from intent_tracking.applications.risk.cases import RISK_CASE_SCHEMA, values_of
from intent_tracking.applications.risk.features import Kind, features_of
from intent_tracking.applications.risk.model import Decision, Reason, RiskModel
from intent_tracking.applications.risk.policy import RiskPolicy
from intent_tracking.events.contract import Identifier
from intent_tracking.events.problems import problems_in_words
from intent_tracking.tables import DayTable, locked

FOLDER: Final = "risk"
_IDS: Final = ("case_id", "kind", "shopper_id", "session_id", "event_id", "transaction_id", "started_at")
_SEEN: Final = pa.struct([("name", pa.string()), ("value", pa.float64())])
_REASON: Final = pa.struct(
    [("name", pa.string()), ("is_rule", pa.bool_()), ("seen", pa.list_(_SEEN)), ("usual", pa.float64())]
)
RISK_SCORE_SCHEMA: Final = pa.schema(
    [
        *(RISK_CASE_SCHEMA.field(name) for name in _IDS),
        pa.field("score", pa.float64()),
        pa.field("rules_score", pa.float64()),
        pa.field("forest_score", pa.float64()),
        pa.field("labels_score", pa.float64()),
        pa.field("decision", pa.string()),
        pa.field("reasons", pa.list_(_REASON)),
        pa.field("model_version", pa.string()),
    ]
)
"""One row a case: what it is worth alone by rules, forest and labels (null without), fused in `score`."""
QUEUE_COLUMNS: Final = ("case_id", "score", "decision")
"""What tells whether, and where, a case stands in the queue."""


class ReviewError(ValueError):
    """A decision cannot be taken; the message says why and what to do."""


class Outcome(StrEnum):
    """What a person found: the risk is real, or it is not."""

    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


class State(StrEnum):
    """Where a queued case is: every one is in exactly one of these."""

    OPEN = "open"
    DECIDED = "decided"
    EXPIRED = "expired"


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


class ReviewDecision(BaseModel):
    """One decision. `session_id` and `event_id` are those of the case, by which an erasure finds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: Identifier
    session_id: Identifier
    event_id: Identifier | None = None
    outcome: Outcome
    decided_at: Annotated[AwareDatetime, AfterValidator(_in_utc)]


@dataclass(frozen=True)
class QueuedCase:
    """A case that was flagged, and what became of it."""

    row: Mapping[str, Any]
    day: date
    state: State
    outcome: Outcome | None

    @property
    def case_id(self) -> str:
        """The name of the case."""
        return str(self.row["case_id"])


def risk_scores(cases: pa.Table, model: RiskModel) -> pa.Table:
    """RISK_SCORE_SCHEMA rows of RISK_CASE_SCHEMA rows, in their order."""
    rows = cases.select(_IDS).to_pylist()
    for kind in (Kind.SESSION, Kind.ORDER):
        at = [number for number, row in enumerate(rows) if row["kind"] == kind.value]
        values = values_of(cases.take(pa.array(at, pa.int64())), features_of(kind))
        for number, said in zip(at, model.assess_many(kind, values), strict=True):
            rows[number] |= {
                "score": said.score,
                "rules_score": said.rules,
                "forest_score": said.forest,
                "labels_score": said.labels,
                "decision": said.decision.value,
                "reasons": [_reason_row(reason) for reason in said.reasons],
                "model_version": model.version,
            }
    return pa.Table.from_pylist(rows, schema=RISK_SCORE_SCHEMA)


def reasons_of(row: Mapping[str, Any], policy: RiskPolicy) -> list[Reason]:
    """The reasons of a row of RISK_SCORE_SCHEMA; rules of the shop's own have the words of `policy`."""
    words = {rule.name: rule.words for rule in policy.rules if rule.words}
    return [
        Reason(
            name=each["name"],
            is_rule=each["is_rule"],
            seen={seen["name"]: seen["value"] for seen in each["seen"]},
            usual=each["usual"],
            words=words.get(each["name"]),
        )
        for each in row["reasons"]
    ]


def _reason_row(reason: Reason) -> dict[str, Any]:
    seen = [{"name": name, "value": value} for name, value in reason.seen.items()]
    return {"name": reason.name, "is_rule": reason.is_rule, "seen": seen, "usual": reason.usual}


def read_decisions(annotations: Path) -> dict[str, ReviewDecision]:
    """The newest decision of each case below `annotations` (`Settings.annotations`).

    Raises:
        ReviewError: a line is no decision; file, line and field are named.
    """
    found: dict[str, ReviewDecision] = {}
    for decision in _lines(sorted((annotations / FOLDER).glob("*.jsonl"))):
        before = found.get(decision.case_id)
        if before is None or decision.decided_at >= before.decided_at:
            found[decision.case_id] = decision
    return found


def labels_of(decisions: Iterable[ReviewDecision]) -> dict[str, bool]:
    """By case id whether it is risky."""
    return {each.case_id: each.outcome is Outcome.CONFIRMED for each in decisions}


def record(annotations: Path, decision: ReviewDecision) -> None:
    """Append a decision; on the disk when this returns. A later one of the same case counts instead."""
    folder = annotations / FOLDER
    with locked(folder / ".lock"):
        path = folder / f"{decision.decided_at.date()}.jsonl"
        with path.open("ab") as file:
            file.write(decision.model_dump_json(exclude_none=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def queue(
    scores: DayTable,
    days: Sequence[date],
    decisions: Mapping[str, ReviewDecision],
    expire_days: int,
    columns: Sequence[str] = RISK_SCORE_SCHEMA.names,
) -> list[QueuedCase]:
    """Every case of `days` that was flagged, the riskiest of the newest day first.

    Args:
        scores: the day table `risk_scores`.
        days: which of it. The newest is the queue's today, so that what was recorded long ago can still be looked at.
        decisions: by case id.
        expire_days: an undecided case of more than so many days before the newest day is expired.
        columns: what is wanted of a case beside QUEUE_COLUMNS; the reasons are most of a day.
    """
    found = []
    oldest_open = max(days) - timedelta(days=expire_days) if days else date.min
    read = [name for name in RISK_SCORE_SCHEMA.names if name in {*QUEUE_COLUMNS, *columns}]
    for day in days:
        rows = scores.read([day], columns=read)
        # Of most cases nobody is told: they are left out before anything is made of them.
        for row in rows.filter(pc.not_equal(rows["decision"], Decision.ALLOW.value)).to_pylist():
            decision = decisions.get(row["case_id"])
            state = State.DECIDED if decision else State.EXPIRED if day < oldest_open else State.OPEN
            found.append(QueuedCase(row, day, state, decision.outcome if decision else None))
    return sorted(found, key=lambda case: (-case.day.toordinal(), -case.row["score"], case.case_id))


def counted(cases: Iterable[QueuedCase]) -> dict[State, int]:
    """How many cases are in each state."""
    states = [case.state for case in cases]
    return {state: states.count(state) for state in State}


def decide(scores: DayTable, annotations: Path, case_id: str, outcome: Outcome, at: datetime) -> ReviewDecision:
    """Take a decision about a case of the queue.

    Raises:
        ReviewError: no such case was queued.
    """
    for day in reversed(scores.days()):
        for row in scores.read([day], columns=["case_id", "session_id", "event_id", "decision"]).to_pylist():
            if row["case_id"] == case_id and row["decision"] != Decision.ALLOW.value:
                decision = ReviewDecision(
                    case_id=case_id,
                    session_id=row["session_id"],
                    event_id=row["event_id"],
                    outcome=outcome,
                    decided_at=at,
                )
                record(annotations, decision)
                return decision
    raise ReviewError(f"no case {case_id!r} is in the queue: `intent-tracking review list` names those that are")


def _lines(paths: Iterable[Path]) -> Iterator[ReviewDecision]:
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    try:
                        yield ReviewDecision.model_validate_json(line)
                    except ValidationError as error:
                        problems = "; ".join(problems_in_words(error, "record"))
                        raise ReviewError(f"{path} line {number}, {problems}") from error
