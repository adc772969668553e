"""Who asked to be erased: a record a person, and the tombstones that keep what comes late from bringing them back.

`erasures/<request>.json` is durable before a request is answered. While an erasure is pending the record names the
person, because the work needs the names; when it is done they are gone, and what stays is a keyed hash of each id and
the moment up to which it is erased. Whoever holds `erasures/key` can test a name against the hashes, nobody else can.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from intent_tracking.tables import atomic_file, locked

KEY_BYTES: Final = 32
REQUEST_LENGTH: Final = 32
ANONYMOUS: Final = "anonymous:"  # how the id of a shopper without a user begins
_JSON: Final = ".json"
# The clock of a file system may tick as slowly as this: a folder that changed later may change again unseen.
_TICK_NANOSECONDS: Final = 100_000_000


class ErasureError(OSError):
    """A record of an erasure cannot be read; the message names the file and the remedy."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pending(_Record):
    """The names that the work needs until it is done.

    `devices` are the anonymous ids seen with the person, whoever else used them; `event_ids` and `session_ids` those of
    events that are erased already, by which labels are found.
    """

    user_id: str
    devices: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()


class Remaining(_Record):
    """Where a name was still found: a path below the home, a field in it where it has any, and how often."""

    path: str
    where: str
    hits: int


class Proof(_Record):
    """What a search of every file below the home found: `later` counts records of the time after the erasure."""

    searched_at: AwareDatetime
    files: int
    megabytes: float
    hits: int
    later: int
    remaining: tuple[Remaining, ...] = ()
    unread: dict[str, int] = Field(default_factory=dict, description="Files without text by their ending.")


class Erasure(_Record):
    """One person's erasure. `user` and `devices` are keyed hashes; `removed` counts records by place."""

    requested_at: AwareDatetime
    user: str
    devices: tuple[str, ...] = ()
    shared_devices: int = 0
    pending: Pending | None
    removed: dict[str, int] = Field(default_factory=dict)
    finished_at: AwareDatetime | None = None
    proof: Proof | None = None

    @property
    def request(self) -> str:
        """The name of the request: one for each person, so that a repeat is the same request."""
        return self.user[:REQUEST_LENGTH]


@dataclass(frozen=True)
class Tombstones:
    """Whose records are erased, and up to when; tells it of records without knowing anybody's name.

    A shopper is a user id, or `anonymous:` and an anonymous id. All maps are by the keyed hash of it.
    """

    key: bytes
    until: Mapping[str, datetime]
    unfinished: frozenset[str]
    requests: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.until)

    def of(self, shopper_id: str) -> str:
        """The keyed hash of a shopper."""
        return _hashed(self.key, shopper_id)

    def event(self, shopper_id: str, event_time: datetime | None, received_time: datetime | None) -> str | None:
        """The request that erases an event of the shopper: it happened or arrived up to then, or does not say when."""
        digest = self.of(shopper_id)
        until = self.until.get(digest)
        if until is None:
            return None
        is_early = event_time is None or event_time <= until or (received_time is not None and received_time <= until)
        return self.requests[digest] if is_early else None

    def words(self, words: Iterable[str], event_time: datetime | None, received_time: datetime | None) -> str | None:
        """The request that erases a record which does not say whom it is about, because one value of it is an id."""
        for word in set(words):
            for shopper_id in (word, f"{ANONYMOUS}{word}"):
                if (request := self.event(shopper_id, event_time, received_time)) is not None:
                    return request
        return None

    def derived(self, shopper_id: str | None, day: date) -> str | None:
        """The request that erases what was derived of a shopper's events on `day`.

        A session, a feature or a prediction may hold events of both sides of the erasure: all go until the erasure is
        finished, then those up to its day. Days that are made again hold what came later.
        """
        if shopper_id is None:
            return None
        digest = self.of(shopper_id)
        until = self.until.get(digest)
        if until is None or not (digest in self.unfinished or day <= until.date()):
            return None
        return self.requests[digest]


class Erasures:
    """The records of erasures below one home. Safe for several processes."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "erasures"

    def request(self, user_id: str, at: datetime) -> Erasure:
        """Accept the erasure of everything up to `at`; on the disk when this returns.

        A repeat while the work is pending moves the moment; after it, the work is done again.
        """
        with self._locked():
            user = _hashed(self._key(make=True), user_id)
            before = self._read(self._path(user[:REQUEST_LENGTH]))
            known = before.pending if before is not None else None
            erasure = Erasure(
                requested_at=at,
                user=user,
                devices=before.devices if before is not None else (),
                pending=known or Pending(user_id=user_id),
                removed=before.removed if before is not None and known is not None else {},
            )
            self._write(erasure)
        return erasure

    def note(
        self,
        request: str,
        *,
        removed: Mapping[str, int] | None = None,
        devices: Iterable[str] = (),
        event_ids: Iterable[str] = (),
        session_ids: Iterable[str] = (),
    ) -> None:
        """Remember what was found or removed for a request; before a removal, what nobody could find after it."""
        with self._locked():
            erasure = self._read(self._path(request))
            if erasure is None:
                raise ErasureError(f"{self._path(request)}: there is no such erasure")
            counts = dict(erasure.removed)
            for place, count in (removed or {}).items():
                counts[place] = counts.get(place, 0) + count
            pending = erasure.pending
            if pending is not None:
                pending = pending.model_copy(
                    update={
                        "devices": tuple(sorted({*pending.devices, *devices})),
                        "event_ids": tuple(sorted({*pending.event_ids, *event_ids})),
                        "session_ids": tuple(sorted({*pending.session_ids, *session_ids})),
                    }
                )
            self._write(erasure.model_copy(update={"removed": counts, "pending": pending}))

    def decide(self, request: str, own: Iterable[str], shared: int) -> None:
        """Erase the devices `own`, which the person alone used, too; `shared` others stay."""
        with self._locked():
            erasure = self._read(self._path(request))
            if erasure is None:
                raise ErasureError(f"{self._path(request)}: there is no such erasure")
            key = self._key()
            digests = {_hashed(key, f"{ANONYMOUS}{device}") for device in own}
            devices = tuple(sorted({*erasure.devices, *digests}))
            self._write(erasure.model_copy(update={"devices": devices, "shared_devices": shared}))

    def finish(self, seen: Erasure, proof: Proof, at: datetime) -> bool:
        """Forget the names. False where the person asked again since `seen` was read: that is not done yet."""
        with self._locked():
            now = self._read(self._path(seen.request))
            if now is None or now.requested_at != seen.requested_at:
                return False
            self._write(now.model_copy(update={"pending": None, "proof": proof, "finished_at": at}))
        return True

    def all(self) -> list[Erasure]:
        """Every erasure, oldest first.

        Raises:
            ErasureError: a record cannot be read.
        """
        found = [self._read(path) for path in self.folder.glob(f"[!.]*{_JSON}")]
        return sorted((each for each in found if each is not None), key=lambda each: (each.requested_at, each.user))

    def pending(self) -> list[Erasure]:
        """Erasures whose work is not done, oldest first."""
        return [each for each in self.all() if each.pending is not None]

    def tombstones(self) -> Tombstones:
        """Who is erased, as of now.

        Raises:
            ErasureError: a record cannot be read, or the key is lost.
        """
        until: dict[str, datetime] = {}
        unfinished: set[str] = set()
        requests: dict[str, str] = {}
        for erasure in self.all():
            for digest in (erasure.user, *erasure.devices):
                # Two people who shared a device may both be erased.
                until[digest] = erasure.requested_at  # the latest, for they come oldest first
                requests[digest] = erasure.request
                if erasure.pending is not None:
                    unfinished.add(digest)
        return Tombstones(self._key() if until else b"", until, frozenset(unfinished), requests)

    def paths(self) -> frozenset[Path]:
        """The files that may name people while their erasure is pending."""
        return frozenset(self._path(erasure.request) for erasure in self.pending())

    def _key(self, *, make: bool = False) -> bytes:
        path = self.folder / "key"
        # Made with the first record: a key that is missing later is lost, and another would recognise nobody.
        if make and not path.exists() and not any(self.folder.glob(f"[!.]*{_JSON}")):
            with atomic_file(path, 0o600) as temporary:
                temporary.write_text(secrets.token_hex(KEY_BYTES), encoding="ascii")
        try:
            return bytes.fromhex(path.read_text(encoding="ascii"))
        except FileNotFoundError as error:
            raise ErasureError(
                f"{path} is missing: restore it from a backup, without it nobody who was erased is recognised"
            ) from error

    def _path(self, request: str) -> Path:
        return self.folder / f"{request}{_JSON}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.folder / ".lock"):
            # What a killed writer left may hold a name; whoever writes here has the lock.
            for left in self.folder.glob(f".*{_JSON}.*"):
                left.unlink()
            yield

    @staticmethod
    def _read(path: Path) -> Erasure | None:
        try:
            return Erasure.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "file"
            raise ErasureError(
                f"{path}: {field}: {first['msg']}; restore it from a backup, or remove it and ask for the erasure again"
            ) from error

    def _write(self, erasure: Erasure) -> None:
        path = self._path(erasure.request)
        with atomic_file(path, 0o600) as temporary:
            temporary.write_text(erasure.model_dump_json(indent=1), encoding="utf-8")


def _hashed(key: bytes, shopper_id: str) -> str:
    return hmac.digest(key, shopper_id.encode("utf-8", "backslashreplace"), "sha256").hex()


class LiveTombstones:
    """The tombstones as a running process needs them for every event: read again when the folder has changed."""

    def __init__(self, home: Path) -> None:
        self._erasures = Erasures(home)
        self._lock = threading.Lock()
        self._seen: int | None = None
        self._now: Tombstones = Tombstones(b"", {}, frozenset(), {})

    def current(self) -> Tombstones:
        """Who is erased now.

        Raises:
            ErasureError: a record cannot be read.
        """
        try:
            changed = self._erasures.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return self._now
        with self._lock:
            if changed != self._seen:
                self._now = self._erasures.tombstones()
                settled = time.time_ns() - changed > _TICK_NANOSECONDS
                self._seen = changed if settled else None
            return self._now
