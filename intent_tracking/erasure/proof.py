"""The end of an erasure: the search through the whole home, and the names forgotten once it finds none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from intent_tracking.erasure import databases
from intent_tracking.erasure.search import Names, Searched, search
from intent_tracking.settings import Settings
from intent_tracking.tombstones import ANONYMOUS, Erasure, Erasures, Proof, Remaining, Tombstones


@dataclass(frozen=True)
class Proved:
    """What the search found for one request, and whether the erasure is finished by it."""

    request: str
    proof: Proof
    removed: dict[str, int]
    finished: bool


@dataclass(frozen=True)
class PersonNames:
    """The user id of a person, empty where it is forgotten, and the anonymous ids of the person's own devices."""

    user_id: str
    devices: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """What must be found nowhere."""
        return self.devices | ({self.user_id} if self.user_id else frozenset())

    @property
    def shoppers(self) -> frozenset[str]:
        """As events, sessions and features name the person."""
        return frozenset(f"{ANONYMOUS}{device}" for device in self.devices) | (
            {self.user_id} if self.user_id else frozenset()
        )


def prove(settings: Settings, *, accept_remaining: bool = False) -> list[Proved]:
    """Search the home for the names of each pending erasure, and finish those of which none is left.

    Args:
        settings: whose home.
        accept_remaining: finish also where names were found: for a person who has looked at each place and knows it
            for something else, such as a product with the number of a shopper.
    """
    erasures = Erasures(settings.home)
    pending = erasures.pending()
    tombstones = erasures.tombstones()
    named = {erasure.request: names_of(erasure, tombstones).all for erasure in pending}
    # Where two people used one device, its name belongs to both.
    until: dict[str, datetime] = {}
    for erasure in pending:
        until |= {
            name: max(erasure.requested_at, until.get(name, erasure.requested_at)) for name in named[erasure.request]
        }
    if not until:
        return []
    names = Names(until)
    for database in (settings.session_state, settings.console_feed, settings.feast / "online.db"):
        databases.forget_freed_pages(database, names)
    # The records of erasures name people until they are finished, which is what comes next.
    found = search(settings.home, names, leave_out=erasures.paths())
    at = datetime.now(UTC)
    proved = []
    for erasure in pending:
        proof = _proof(found, named[erasure.request], at)
        finished = (accept_remaining or proof.hits == 0) and erasures.finish(erasure, proof, at)
        proved.append(Proved(erasure.request, proof, erasure.removed, finished))
    return proved


def _proof(found: Searched, names: frozenset[str], at: datetime) -> Proof:
    remaining: Counter[tuple[str, str]] = Counter()
    for (name, path, where), count in found.remaining.items():
        if name in names:
            remaining[path, where] += count
    return Proof(
        searched_at=at,
        files=found.files,
        megabytes=round(found.megabytes, 3),
        hits=remaining.total(),
        later=sum(count for name, count in found.later.items() if name in names),
        remaining=tuple(Remaining(path=p, where=w, hits=count) for (p, w), count in sorted(remaining.items())),
        unread=found.unread,
    )


def names_of(erasure: Erasure, tombstones: Tombstones) -> PersonNames:
    """The names of a person whose erasure is pending; none of one whose erasure is finished."""
    if erasure.pending is None:
        return PersonNames("", frozenset())
    own = {each for each in erasure.pending.devices if tombstones.of(f"{ANONYMOUS}{each}") in erasure.devices}
    return PersonNames(erasure.pending.user_id, frozenset(own))
