"""Who may call what: a bearer key with the scope of the operation, or this machine alone where there are no keys."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from bentos.intent_service.errors import ErrorCode, RequestError
from intent_tracking.access.keys import Key, Scope
from intent_tracking.access.ring import KeyRing

_CALLER = "caller"
_CHECK = "access"


class Access:
    """Asks for a bearer key with the scope that `scopes` names for the path; None opens a path to all, as for probes.

    Without configured keys it answers this machine alone. The Host header must name this machine then too: a page in a
    browser here could otherwise reach the service through a name that it resolves to 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, ring: KeyRing, scopes: Mapping[str, Scope | None]) -> None:
        self._app = app
        self._ring = ring
        self._scopes = scopes

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request on, with its key, or refuse it."""
        if scope["type"] == "http":
            # A path that is not listed has no answer; learning so takes a key all the same.
            wanted = self._scopes.get(scope["path"], Scope.READ)
            if wanted is not None:
                try:
                    caller = self._caller(scope, wanted)
                except RequestError as refusal:
                    await refusal.response()(scope, receive, send)
                    return
                scope.setdefault("state", {}).update({_CALLER: caller, _CHECK: partial(self._caller, scope, wanted)})
        await self._app(scope, receive, send)

    def _caller(self, scope: Connection, wanted: Scope) -> Key | None:
        headers = Headers(scope=scope)
        if not self._ring.configured:
            _require_this_machine(scope, headers)
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        key = self._ring.find(given.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise _unauthorized("send the header Authorization: Bearer <key> with a key that is valid here")
        if key.expired(datetime.now(UTC)):
            raise _unauthorized(f"the key {key.id} has expired: ask for a new one")
        if wanted not in key.scopes:
            raise RequestError(
                403,
                ErrorCode.FORBIDDEN,
                f"the key {key.id} allows {', '.join(key.scopes)}; "
                f"{scope['path'][:200]} takes one that allows {wanted}",
                "authorization",
            )
        return key


def caller_of(connection: Connection) -> Key | None:
    """The key of a request that was let through; None on this machine without keys, and where no key is asked for."""
    found: Key | None = connection.get("state", {}).get(_CALLER)
    return found


def check_again(connection: Connection) -> Callable[[], object]:
    """What an answer that lasts calls now and then: whether its caller would still be let in.

    Calling it raises RequestError once the key is revoked or has expired, or a key is asked for that was not before.
    """
    check: Callable[[], object] = connection["state"][_CHECK]
    return check


def may(request: Request, scope: Scope) -> bool:
    """Whether the caller's key allows `scope`; without configured keys, this machine may do everything."""
    key = caller_of(request.scope)
    return key is None or scope in key.scopes


def _require_this_machine(scope: Connection, headers: Headers) -> None:
    ends = [end[0] for end in (scope.get("client"), scope.get("server")) if end]
    if not (all(map(_is_loopback, ends)) and _is_loopback(_host_name(headers.get("host", "")))):
        raise RequestError(
            403,
            ErrorCode.LOOPBACK_ONLY,
            "no keys are configured, so only this machine is answered: make one by `intent-tracking keys create`, "
            "or set INTENT_API_KEYS",
        )


def _unauthorized(message: str) -> RequestError:
    return RequestError(401, ErrorCode.UNAUTHORIZED, message, "authorization", {"WWW-Authenticate": "Bearer"})


def _host_name(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


# Callers are few, and reading an address took a tenth of what a request costs beside the model.
@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A socket for both families shows an IPv4 caller as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
