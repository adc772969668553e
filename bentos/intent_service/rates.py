"""How many requests a second a key may send: a token bucket a key, in each process."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.intent_service.access import caller_of
from bentos.intent_service.errors import ErrorCode, RequestError

# What a caller may send at once after a pause: that many seconds of its rate.
BURST_SECONDS: Final = 10.0
# Callers that are remembered; the one that was quiet for the longest is forgotten first.
MAX_CALLERS: Final = 10_000


class TokenBuckets:
    """One bucket of `rate` tokens a second for each name, which holds what BURST_SECONDS bring, and at least one."""

    def __init__(self, rate: float, max_names: int = MAX_CALLERS) -> None:
        self._rate = rate
        self._size = max(1.0, rate * BURST_SECONDS)
        self._max_names = max_names
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float) -> float:
        """Take a token at `now` (seconds of a steady clock): 0, or the seconds until there is one."""
        tokens, filled_at = self._buckets.pop(name, (self._size, now))
        tokens = min(self._size, tokens + (now - filled_at) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[name] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > self._max_names:
            self._buckets.popitem(last=False)
        return wait


class RateLimit:
    """Answers 429 to a key that sends more than `per_second` requests.

    A public key stands in many pages at once: its callers are counted by address, `public_per_second` each, so that one
    of them does not use up what the others need.
    """

    def __init__(self, app: ASGIApp, per_second: float, public_per_second: float) -> None:
        self._app = app
        self._keys = TokenBuckets(per_second)
        self._addresses = TokenBuckets(public_per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        key = caller_of(scope) if scope["type"] == "http" else None
        if key is not None:
            now = time.monotonic()
            wait = (
                self._addresses.take(f"{key.id} {_network_of(scope)}", now)
                if key.public
                else self._keys.take(key.id, now)
            )
            if wait:
                seconds = math.ceil(wait)
                refusal = RequestError(
                    429,
                    ErrorCode.TOO_MANY_REQUESTS,
                    f"the key {key.id} sends too many requests: wait {seconds} s, and send more events or texts a call",
                    headers={"Retry-After": str(seconds)},
                )
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _network_of(scope: Scope) -> str:
    """Whoever has one IPv6 address has the 64 bits of its lower half too: they count as one caller."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)
