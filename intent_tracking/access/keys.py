"""The keys of the service's HTTP interface: what each may do, and the file that holds their hashes.

A key is 256 random bits, so its SHA-256 can be neither guessed nor turned back. The slow, salted hashes of passwords
protect what people choose; here they would only give every request the cost that an attacker wants to cause.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from intent_tracking.tables import atomic_file, locked

# Starts every key that is made here, so that scanners find one that was published by mistake.
_PREFIX: Final = "intent"
_PLAIN = re.compile(rf"{_PREFIX}_([0-9a-f]{{8}})_[\w-]{{43}}")


class Scope(StrEnum):
    """What a key allows: to send events, to read answers, to change or remove what is stored. None implies another."""

    TRACK = "track"
    READ = "read"
    ADMIN = "admin"


class KeyFileError(Exception):
    """The key file cannot be read or changed as asked; the message names the file and the remedy."""


class Key(BaseModel):
    """A key as it is kept: everything but the key itself.

    `public` marks a key that stands in web pages, where everybody reads it: it may track and nothing else, and its
    callers are limited one by one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=40)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    label: str = Field(min_length=1, max_length=200)
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    public: bool = False

    @model_validator(mode="after")
    def _public_only_tracks(self) -> Key:
        if self.public and self.scopes != (Scope.TRACK,):
            raise ValueError("a public key, which everybody can read, takes the scope track alone")
        return self

    def expired(self, now: datetime) -> bool:
        """Whether its time is over at `now`."""
        return self.expires_at is not None and self.expires_at <= now


class _KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...]


def read_keys(path: Path) -> tuple[Key, ...] | None:
    """The keys in the file at `path`; None where there is no file.

    Raises:
        KeyFileError: the file cannot be read, or is no key file.
    """
    try:
        return _KeyFile.model_validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read ({error.strerror}); give it to the user of the service") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        raise KeyFileError(f"{path}: {place}: {first['msg']}; mend it, or remove it and make new keys") from error


def create_key(
    path: Path,
    scopes: Collection[Scope],
    label: str,
    *,
    now: datetime,
    expires_at: datetime | None = None,
    public: bool = False,
) -> tuple[str, Key]:
    """Add a key to the file at `path`, which is made where it is missing: the plain key, kept nowhere, and its record.

    Raises:
        KeyFileError: the file cannot be read or written, or the key asked for makes no sense.
    """
    if expires_at is not None and expires_at <= now:
        raise KeyFileError(f"the key would expire at {expires_at.isoformat()}, which is over: give a later time")
    with locked(_lock_file(path)):
        kept = read_keys(path) or ()
        known = {key.id for key in kept}
        # The id is part of the key, so that a key found somewhere says which one to revoke.
        identity = next(fresh for fresh in iter(lambda: secrets.token_hex(4), None) if fresh not in known)
        plain = f"{_PREFIX}_{identity}_{secrets.token_urlsafe(32)}"
        try:
            key = Key(
                id=identity,
                sha256=hash_of(plain),
                scopes=tuple(scope for scope in Scope if scope in scopes),
                label=label,
                created_at=now,
                expires_at=expires_at,
                public=public,
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = "".join(f"{part}: " for part in first["loc"])
            raise KeyFileError(f"no key is made: {place}{first['msg']}") from error
        _write(path, (*kept, key))
    return plain, key


def revoke_key(path: Path, named: str) -> Key:
    """Take the key out of the file at `path`, by its id or by the plain key; what it was.

    Raises:
        KeyFileError: there is no such key, or the file cannot be read or written.
    """
    plain = _PLAIN.fullmatch(named)
    identity = plain.group(1) if plain else named
    with locked(_lock_file(path)):
        kept = read_keys(path) or ()
        found = next((key for key in kept if key.id == identity), None)
        if found is None:
            # The name is not repeated: it may be a secret that was mistyped.
            raise KeyFileError(f"{path}: no key has this id; `keys list` names those there are")
        _write(path, tuple(key for key in kept if key.id != identity))
    return found


def hash_of(plain: str) -> str:
    """What is kept of the key `plain`: its SHA-256 in hexadecimal digits."""
    # A header may hold any byte: those that are no character must not end in an error.
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    content = _KeyFile(keys=keys).model_dump_json(indent=2, exclude_none=True) + "\n"
    try:
        with atomic_file(path, mode=0o600) as temporary:
            temporary.write_text(content, encoding="utf-8")
            if os.geteuid() == 0:
                # An administrator's command must not take the file away from the user that the service runs as.
                owner = path.stat() if path.exists() else path.parent.stat()
                os.chown(temporary, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written ({error.strerror})") from error
