"""What marketing keeps of people beside tables: who consented, and the files for the shop's mail tool."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from intent_tracking.erasure.lines import replacing
from intent_tracking.erasure.rows import erase_rows, remove_abandoned
from intent_tracking.tombstones import Tombstones

CONSENTS: Final = "marketing/consents"
AUDIENCE_FILES: Final = "applications/audiences"
_SHOPPER: Final = "shopper_id"
_SAID_AT: Final = ("given_at", "withdrawn_at")
_DAY_LENGTH: Final = 10

Judge = Callable[[Mapping[str, str]], str | None]


def erase_consents(home: Path, tombstones: Tombstones) -> Counter[str]:
    """Remove the consents of erased people from what the shop landed; rows by request.

    A person without a consent is not written to. What was given or withdrawn after the day of a finished erasure stays:
    a withdrawal that went would leave the new consent standing.
    """
    counts: Counter[str] = Counter()
    for path in sorted((home / CONSENTS).glob("*.csv")):
        counts += _erase_csv(
            path,
            lambda row: tombstones.derived(_shopper(row.get(_SHOPPER)), _newest(row.get(name) for name in _SAID_AT)),
        )
    for path in sorted((home / CONSENTS).glob("*.parquet")):
        counts += erase_rows(
            path,
            lambda rows: [
                tombstones.derived(_shopper(shopper), _newest(times))
                for shopper, *times in zip(*(rows[name].to_pylist() for name in (_SHOPPER, *_SAID_AT)), strict=True)
            ],
        )
    return counts


def erase_audience_files(home: Path, tombstones: Tombstones) -> Counter[str]:
    """Remove erased people from the CSV files of audiences, what a killed writer left included; rows by request.

    What the shop's mail tool has read already is the tool's.
    """
    counts: Counter[str] = Counter()
    for left in sorted((home / AUDIENCE_FILES).glob("*/.*.csv.*")):
        remove_abandoned(left.with_name(left.name[1:].rpartition(".")[0]))
    for path in sorted((home / AUDIENCE_FILES).glob("*/*.csv")):
        # A folder that was being written begins with a dot.
        counts += _erase_csv(path, _listed_on(_day(path.parent.name.removeprefix(".")), tombstones))
    return counts


def _listed_on(day: date, tombstones: Tombstones) -> Judge:
    return lambda row: tombstones.derived(row.get(_SHOPPER), day)


def _shopper(told: object) -> str | None:
    """The id as events hold it: what a shop lands may have white space around it, or be a number in Parquet."""
    return None if told is None else str(told).strip()


def _erase_csv(path: Path, judge: Judge) -> Counter[str]:
    counts: Counter[str] = Counter()
    kept = io.StringIO(newline="")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        writer = csv.writer(kept)
        writer.writerow(names)
        for row in reader:
            request = judge(dict(zip(names, row, strict=False)))
            if request is None:
                writer.writerow(row)
            else:
                counts[request] += 1
    if counts:
        with replacing(path) as temporary:
            temporary.write_text(kept.getvalue(), encoding="utf-8", newline="")
    return counts


def _newest(values: Iterable[object]) -> date:
    """The UTC day of the newest of some times; those that say none are of before every erasure."""
    return max(map(_moment_day, values))


def _moment_day(value: object) -> date:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return date.min
    return moment.astimezone(UTC).date() if moment.tzinfo else moment.date()


def _day(value: str) -> date:
    """The day that a name begins with; one that says none is of before every erasure."""
    try:
        return date.fromisoformat(value[:_DAY_LENGTH])
    except ValueError:
        return date.min
