"""Which sessions examples are made of, and which one a label means: a source's session id may come back days later."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.modeling.splits import Sample, ShopperSplits, Split
from intent_tracking.sessions.texts import SESSION
from intent_tracking.tables import streamed

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset


# Somebody may label a session while it goes on, so before the cut-off that is drawn for it.
_LABELLED_WHILE_OPEN = timedelta(days=1)


def session_example_id(session_id: str, cutoff_time: datetime) -> str:
    """The name of one session among all days; `session_id` alone is unique within three."""
    return f"{session_id}@{cutoff_time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def labelled_sessions(session_texts: Dataset, by_people: Collection[str], until: datetime) -> Iterator[pa.RecordBatch]:
    """`example_id`, `shopper_id` and `time` of the sessions before `until` that behaviour or people label.

    Args:
        session_texts: rows of `SESSION_TEXT_SCHEMA`.
        by_people: example ids of those that people label.
        until: UTC.
    """
    labelled_by_people = pa.array(sorted(by_people), pa.string())
    columns = ["session_id", "shopper_id", "cutoff_time", "behaviour_intent", "outcome"]
    for batch in streamed(session_texts, columns, _sessions_before(until)):
        # As `session_example_id` writes it; Arrow's %S has the digits of the unit.
        cutoffs = pc.strftime(batch["cutoff_time"].cast(pa.timestamp("us")), format="@%Y-%m-%dT%H:%M:%SZ")
        names = pc.binary_join_element_wise(batch["session_id"], cutoffs, "")
        by_behaviour = pc.or_(pc.is_valid(batch["behaviour_intent"]), pc.is_valid(batch["outcome"]))
        found = pa.RecordBatch.from_arrays(
            [names, batch["shopper_id"], batch["cutoff_time"]], ["example_id", "shopper_id", "time"]
        )
        yield found.filter(pc.or_(by_behaviour, pc.is_in(names, value_set=labelled_by_people)))


def chosen_sessions(
    session_texts: Dataset,
    by_people: Collection[str],
    until: datetime,
    splits: ShopperSplits,
    samples: Mapping[Split, Sample],
    counts: Counter[str],
) -> dict[str, Split]:
    """Split by example id of the sessions to learn from: all that people labelled, and a sample of the others.

    Where those went that are not among them is added to `counts`, by reason.
    """
    chosen: dict[str, Split] = {}
    labelled = 0
    for batch in labelled_sessions(session_texts, by_people, until):
        labelled += batch.num_rows
        found = splits.of(batch["shopper_id"], batch["time"])
        for example_id, split in zip(batch["example_id"].to_pylist(), found, strict=True):
            if split is None:
                counts["session kept out by time or shopper"] += 1
            elif example_id in by_people:
                chosen[example_id] = split
            else:
                samples[split].offer(example_id)
    before = session_texts.count_rows(filter=_sessions_before(until))
    counts["session after the end"] = session_texts.count_rows(filter=pc.field("kind") == SESSION) - before
    counts["session without a label"] = before - labelled
    for split, sample in samples.items():
        drawn = sample.names()
        counts[f"{split} behaviour beyond the limit"] = sample.offered - len(drawn)
        chosen |= dict.fromkeys(drawn, split)
    return chosen


def cutoffs_of(session_texts: Dataset, session_ids: Iterable[str], until: datetime) -> dict[str, list[datetime]]:
    """The cut-offs before `until` of the sessions that carry one of `session_ids`, oldest first."""
    names = set(session_ids)
    wanted = pa.array(sorted(names | {_as_given(name) for name in names}), pa.string())
    carries_one = _sessions_before(until) & pc.field("session_id").isin(wanted)
    found: dict[str, list[datetime]] = {}
    for batch in streamed(session_texts, ["session_id", "cutoff_time"], carries_one):
        for name, cutoff in zip(batch["session_id"].to_pylist(), batch["cutoff_time"].to_pylist(), strict=True):
            found.setdefault(name, []).append(cutoff)
    return {name: sorted(cutoffs) for name, cutoffs in found.items()}


def labelled_session(
    session_id: str, annotated_at: datetime, cutoffs: Mapping[str, Sequence[datetime]]
) -> tuple[str, datetime] | None:
    """The session that a label of `session_id` means: of several with this id the last one before the label.

    Args:
        session_id: as the tables name it, or as the live service does.
        annotated_at: UTC.
        cutoffs: of `cutoffs_of`.

    Returns:
        Its id and cut-off; None where no session can be meant.
    """
    name = session_id if session_id in cutoffs else _as_given(session_id)
    known = cutoffs.get(name, ())
    before = [each for each in known if each <= annotated_at]
    if before:
        return name, before[-1]
    if known and known[0] <= annotated_at + _LABELLED_WHILE_OPEN:
        return name, known[0]
    return None


def _as_given(session_id: str) -> str:
    """The source's own id: the service remembers ids longer than the tables and adds `#` and a hash to a used one."""
    return re.sub(r"#[0-9a-f]{8}$", "", session_id)


def _sessions_before(until: datetime) -> pc.Expression:
    moment = pa.scalar(until.astimezone(UTC), pa.timestamp("us", tz="UTC"))
    return (pc.field("kind") == SESSION) & (pc.field("cutoff_time") < moment)
