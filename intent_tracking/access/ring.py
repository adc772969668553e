"""The keys that are valid at this moment, in every worker, without a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from intent_tracking.access.keys import Key, KeyFileError, Scope, hash_of, read_keys

logger = logging.getLogger(__name__)

# How long a revoked key may still be answered, and a new one not yet.
REFRESH_SECONDS: Final = 1.0


class KeyRing:
    """The keys that are valid now: those listed in the settings, with every scope, and those of the key file.

    The file is looked at again when it has changed, at most every REFRESH_SECONDS, so that every worker notices new
    and revoked keys without a restart. A file that cannot be read leaves the keys as they were, and is logged.

    Raises:
        KeyFileError: the file is there at the start and cannot be read.
    """

    def __init__(self, path: Path, listed: Sequence[str] = (), *, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self._path = path
        self._refresh_seconds = refresh_seconds
        now = datetime.now(UTC)
        self._listed = [
            Key(
                id=f"settings-{number}",
                sha256=hash_of(plain),
                scopes=tuple(Scope),
                label="INTENT_API_KEYS",
                created_at=now,
            )
            for number, plain in enumerate(listed, start=1)
        ]
        self._seen = _state_of(path)
        self._filed = read_keys(path)
        self._by_hash = self._index()
        self._looked_at = time.monotonic()

    @property
    def configured(self) -> bool:
        """Whether callers need a key: some are listed, or a key file is there or was, even one without a key."""
        self._refresh()
        return bool(self._listed) or self._filed is not None

    def find(self, plain: str) -> Key | None:
        """The key that a caller sent; None where it is unknown or revoked. It may have expired."""
        self._refresh()
        # A lookup by hash tells an attacker's clock nothing of use: whoever knows a hash does not know its key.
        return self._by_hash.get(hash_of(plain))

    def _refresh(self) -> None:
        now = time.monotonic()
        if now < self._looked_at + self._refresh_seconds:
            return
        self._looked_at = now
        state = _state_of(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            filed = read_keys(self._path)
        except KeyFileError as error:
            logger.error("ALERT: the keys stay as they were: %s", error)
            return
        if filed is None and self._filed is not None:
            # Whoever lost the file has not decided to open the service: no key is valid then, and all still need one.
            filed = ()
        self._filed = filed
        self._by_hash = self._index()
        logger.info("%s holds %d keys", self._path, len(self._filed or ()))

    def _index(self) -> dict[str, Key]:
        return {key.sha256: key for key in (*self._listed, *(self._filed or ()))}


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
