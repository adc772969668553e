"""Whom to write to today: one audience a shopper, with consent, under the caps, and a control group left in peace."""

from __future__ import annotations

import hmac
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.applications.marketing.consent import CONTACT_SCHEMA, Consents, Contacts
from intent_tracking.applications.marketing.history import end_of
from intent_tracking.applications.marketing.membership import Evidence, Member, languages, members
from intent_tracking.applications.marketing.rules import MarketingRules
from intent_tracking.applications.marketing.words import Words
from intent_tracking.tables import atomic_directory, atomic_file, locked, write_csv
from intent_tracking.text.language import Language

TREATED: Final = "treated"
CONTROL: Final = "control"
NO_CONSENT: Final = "no_consent"
FREQUENCY_CAP: Final = "frequency_cap"
HELD_BACK: Final = (NO_CONSENT, FREQUENCY_CAP)
KEY_FILE: Final = "control.key"
_KEY_BYTES: Final = 32

_FIELDS: Final[list[tuple[str, pa.DataType]]] = [
    ("shopper_id", pa.string()),
    ("audience", pa.string()),
    ("campaign", pa.string()),
    ("group", pa.string()),
    ("held_back", pa.string()),
    ("channel", pa.string()),
    ("offer", pa.string()),
    ("language", pa.string()),
    ("message", pa.string()),
    ("reasons_en", pa.list_(pa.string())),
    ("reasons_zh", pa.list_(pa.string())),
    ("reason_names", pa.list_(pa.string())),
    ("items", pa.list_(pa.string())),
    ("brand", pa.string()),
    ("propensity", pa.float64()),
    ("also_in", pa.list_(pa.string())),
]
AUDIENCE_SCHEMA: Final = pa.schema(_FIELDS)
"""One row a shopper. `group`: treated or control; `held_back`: why nobody may write, null where one may; `channel`:
null where held back; `also_in`: audiences of lower priority that fit too."""
CONTACT_COLUMNS: Final = (*CONTACT_SCHEMA.names, "held_back")
_EXPORTED: Final = (
    "shopper_id", "campaign", "channel", "language", "offer", "message", "items", "brand", "reasons", "propensity",
)  # fmt: skip


def draw(
    evidence: Evidence, rules: MarketingRules, words: Words, consents: Consents, contacts: Contacts, key: bytes
) -> pa.Table:
    """The audiences of a day: rows of AUDIENCE_SCHEMA.

    The group is drawn from the shopper and the campaign alone, and consent and caps are asked for both groups alike, so
    that treated and control differ by the message and by nothing else.

    Raises:
        MarketingError: `words` lacks a message of an audience.
    """
    words.check(rules)
    spoken = languages(evidence)
    rows = []
    for member, also_in in _one_each(members(evidence, rules), rules):
        audience = rules.audiences[member.audience]
        campaign = rules.campaign_of(member.audience)
        channel, held_back = _channel(member, rules, consents, contacts, evidence.day)
        language: Language = spoken.get(member.shopper_id, "en")
        rows.append(
            {
                "shopper_id": member.shopper_id,
                "audience": member.audience,
                "campaign": campaign,
                "group": group(key, campaign, member.shopper_id, rules.control_share),
                "held_back": held_back,
                "channel": channel,
                "offer": member.offer,
                "language": language,
                "message": words.message(audience.words or audience.rule, member.offer, language, member.values),
                "reasons_en": [words.why(reason, "en") for reason in member.reasons],
                "reasons_zh": [words.why(reason, "zh") for reason in member.reasons],
                "reason_names": [reason.key for reason in member.reasons],
                "items": list(member.items),
                "brand": member.brand,
                "propensity": evidence.propensity.get(member.shopper_id),
                "also_in": list(also_in),
            }
        )
    return pa.Table.from_pylist(rows, schema=AUDIENCE_SCHEMA)


def contacts_of(members: pa.Table) -> pa.Table:
    """Whom the `members` of a day (CONTACT_COLUMNS at least) let be written to, or left in peace: CONTACT_SCHEMA."""
    reached = members.filter(pc.is_null(members["held_back"]))
    return reached.select(CONTACT_SCHEMA.names).cast(CONTACT_SCHEMA)


def _one_each(found: Sequence[Member], rules: MarketingRules) -> list[tuple[Member, tuple[str, ...]]]:
    """The membership of highest priority of each shopper, by shopper, with the names of the others."""
    by_shopper: dict[str, list[Member]] = {}
    for member in found:
        by_shopper.setdefault(member.shopper_id, []).append(member)
    chosen = []
    for shopper in sorted(by_shopper):
        first, *rest = sorted(by_shopper[shopper], key=lambda each: -rules.audiences[each.audience].priority)
        chosen.append((first, tuple(member.audience for member in rest)))
    return chosen


def _channel(
    member: Member, rules: MarketingRules, consents: Consents, contacts: Contacts, day: date
) -> tuple[str | None, str | None]:
    moment = end_of(day)
    allowed = [
        channel
        for channel in rules.audiences[member.audience].channels
        if consents.holds(member.shopper_id, channel, moment)
    ]
    if not allowed:
        return None, NO_CONSENT
    free = (each for each in allowed if contacts.room(member.shopper_id, each, day, rules.caps[each]))
    channel = next(free, None)
    return channel, None if channel is not None else FREQUENCY_CAP


def group(key: bytes, campaign: str, shopper_id: str, control_share: float) -> str:
    """`control` for a share of the shoppers of a campaign, always the same ones while the key and the share stay.

    A larger share keeps everybody who is in the group and adds others.
    """
    digest = hmac.digest(key, f"{campaign}\x1f{shopper_id}".encode("utf-8", "backslashreplace"), "sha256")
    place = int.from_bytes(digest[:8], "big") / 2**64
    return CONTROL if place < control_share else TREATED


def control_key(applications: Path) -> bytes:
    """The key that the control groups are drawn with, made once below `Settings.applications`.

    Without it nobody can tell who is in a control group, nor choose an id that is not. A lost key draws new groups.
    """
    path = applications / KEY_FILE
    with locked(applications / f".{KEY_FILE}.lock"):
        if not path.exists():
            with atomic_file(path, 0o600) as temporary:
                temporary.write_text(secrets.token_hex(_KEY_BYTES), encoding="ascii")
    return bytes.fromhex(path.read_text(encoding="ascii"))


@dataclass(frozen=True)
class AudienceSize:
    """How many of an audience are written to, left in peace, or held back and why."""

    audience: str
    members: int
    treated: int
    control: int
    no_consent: int
    frequency_cap: int

    def as_row(self) -> dict[str, object]:
        """For tables that people read."""
        return {
            "audience": self.audience,
            "members": self.members,
            "written to": self.treated,
            "control": self.control,
            "held back: no consent": self.no_consent,
            "held back: frequency cap": self.frequency_cap,
        }


def sizes(table: pa.Table, rules: MarketingRules) -> list[AudienceSize]:
    """The size of every declared audience, also of those that are empty, in the order of their priority."""
    counts: Counter[tuple[str, str]] = Counter()
    columns = (table[name].to_pylist() for name in ("audience", "group", "held_back"))
    for audience, drawn, held_back in zip(*columns, strict=True):
        counts[audience, held_back or drawn] += 1
    found = []
    for name in sorted(rules.audiences, key=lambda each: -rules.audiences[each].priority):
        parts = {kind: counts[name, kind] for kind in (TREATED, CONTROL, NO_CONSENT, FREQUENCY_CAP)}
        found.append(AudienceSize(audience=name, members=sum(parts.values()), **parts))
    return found


def write_files(folder: Path, table: pa.Table, rules: MarketingRules) -> dict[str, int]:
    """One CSV an audience of whom to write to, `<folder>/<audience>.csv`, all replaced at once; rows by audience.

    Neither the control group nor anybody who was held back is in them. A text that a spreadsheet would compute is
    written as text (`tables.write_csv`), an id as it is: `+4915112345678` is whom the mail tool knows.
    """
    reached = pc.and_(pc.equal(table["group"], TREATED), pc.is_null(table["held_back"]))
    rows = [_exported(row) for row in table.filter(reached).to_pylist()]
    written = {}
    with atomic_directory(folder) as building:
        for name in rules.audiences:
            of_audience = [row for row in rows if row["audience"] == name]
            # Who is written to stands in a consent of the shop: no visitor chose these ids.
            write_csv(building / f"{name}.csv", _EXPORTED, of_audience, verbatim={"shopper_id"})
            written[name] = len(of_audience)
    return written


def _exported(row: Mapping[str, Any]) -> dict[str, Any]:
    propensity = row["propensity"]
    return {
        **row,
        "items": "|".join(row["items"]),
        "reasons": "; ".join(row[f"reasons_{row['language']}"]),
        "propensity": None if propensity is None else round(propensity, 4),
    }
