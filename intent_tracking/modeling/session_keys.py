"""Which session an example is made of, and which one a label means: a source's session id may come back days later."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

# Somebody may label a session while it goes on, so before the cut-off that is drawn for it.
_LABELLED_WHILE_OPEN = timedelta(days=1)


def session_example_id(session_id: str, cutoff_time: datetime) -> str:
    """The name of one session among all days; `session_id` alone is unique within three."""
    return f"{session_id}@{cutoff_time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def cutoffs_of(session_texts: pa.Table, session_ids: Iterable[str], until: datetime) -> dict[str, list[datetime]]:
    """The cut-offs before `until` of the sessions that carry one of `session_ids`, oldest first."""
    names = set(session_ids)
    wanted = pa.array(sorted(names | {_as_given(name) for name in names}), pa.string())
    rows = session_texts.filter(pc.is_in(session_texts["session_id"], value_set=wanted))
    found: dict[str, list[datetime]] = {}
    for name, cutoff in zip(rows["session_id"].to_pylist(), rows["cutoff_time"].to_pylist(), strict=True):
        if cutoff < until:
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
