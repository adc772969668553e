"""The running intent service, as the orchestration sees it: over HTTP, by the release that it reports."""

import json
import time
from dataclasses import dataclass
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

RELEASE_PATH = "/v1/release"
# Of the 503 of a service without a model: the number of the release that it refused.
REFUSED_HEADER = "Intent-Refused-Release"
CALL_SECONDS = 5.0
POLL_SECONDS = 0.5


class ServiceError(RuntimeError):
    """The service answers, and does not serve what was released; the message says what to do."""


class ReleaseRefusedError(ServiceError):
    """The service would not serve a release: its artifact is damaged, or its golden requests are answered otherwise."""


class ReleaseSupersededError(ServiceError):
    """A later release is served that names something else: whether the service would have served this one is open."""


@dataclass(frozen=True)
class ServedRelease:
    """What the service says that it serves. A service that runs without a model serves number 0."""

    number: int
    model_version: str
    refused: str | None


@dataclass(frozen=True)
class IntentService:
    """The service at `address` (`INTENT_SERVICE_URL`)."""

    address: str
    api_key: str | None = None

    def served_release(self) -> ServedRelease | None:
        """The release that is served; None where nothing listens.

        Raises:
            ServiceError: something answers there that is not the intent service, or it refuses the key.
        """
        if urlsplit(self.address).scheme not in ("http", "https"):
            raise ServiceError(f"INTENT_SERVICE_URL is {self.address!r}: give an http:// or https:// address")
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        request = Request(self.address.rstrip("/") + RELEASE_PATH, headers=headers)  # noqa: S310 - scheme checked above
        try:
            with urlopen(request, timeout=CALL_SECONDS) as answer:  # noqa: S310 - scheme checked above
                body = json.loads(answer.read())
            return ServedRelease(int(body["number"]), str(body["model_version"]), body.get("refused"))
        except HTTPError as error:
            if error.code == 503:
                refused = error.headers.get(REFUSED_HEADER)
                why = f"release {refused}: {_message(error)}" if refused else None
                return ServedRelease(number=0, model_version="none", refused=why)
            raise ServiceError(
                f"{request.full_url} answered {error.code}: check INTENT_SERVICE_URL and INTENT_API_KEYS"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError(f"{request.full_url} is not the intent service: check INTENT_SERVICE_URL") from error
        except (URLError, ConnectionError, TimeoutError):
            return None

    def wait_for(self, number: int, timeout_seconds: float) -> ServedRelease | None:
        """Wait until release `number` or a later one is served. None when nothing listens there at all.

        Raises:
            ReleaseRefusedError: the service looked at the release and keeps the one before.
            ServiceError: the service still serves another release after `timeout_seconds`, or went away meanwhile.
        """
        deadline = time.monotonic() + timeout_seconds
        served = self.served_release()
        if served is None:
            return None
        while served is None or served.number < number:
            if served is not None and (served.refused or "").startswith(f"release {number}:"):
                raise ReleaseRefusedError(f"{self.address} refused {served.refused}")
            if time.monotonic() > deadline:
                found = "nothing" if served is None else f"release {served.number} ({served.model_version})"
                raise ServiceError(
                    f"{self.address} serves {found} after {timeout_seconds:g} s, not release {number}. "
                    "Read the service's log; run rollback_job to make the release before live again."
                )
            time.sleep(POLL_SECONDS)
            served = self.served_release()
        return served


def _message(error: HTTPError) -> str:
    """What the service says in the body of an error, in its one shape of errors."""
    try:
        return str(json.loads(error.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "its log says why"
