"""Where alerts go: always to the log, and to a webhook where one is set."""

import json
import logging
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Alerts:
    """Tells people that something needs them.

    The webhook, an http(s) address, gets `{"title", "text", "tags"}` as JSON by POST, the shape that chat tools'
    generic hooks take. Who knows the address can post there, so it is no resource config, which the UI shows.
    """

    webhook: str | None = field(default=None, repr=False)

    def send(self, title: str, text: str, tags: dict[str, str] | None = None) -> None:
        """Log the alert, then post it to the webhook.

        Raises:
            ValueError: the webhook is not an http(s) address.
            OSError: the webhook does not take the alert (`urllib.error.URLError` or `HTTPError`); it is logged by then.
        """
        logging.getLogger("dagster_project.alerts").warning("%s: %s", title, text)
        if self.webhook is None:
            return
        if urlsplit(self.webhook).scheme not in ("http", "https"):
            raise ValueError("INTENT_ALERT_WEBHOOK must start with http:// or https://")
        body = json.dumps({"title": title, "text": text, "tags": tags or {}}, ensure_ascii=False).encode()
        request = Request(self.webhook, data=body, headers={"Content-Type": "application/json"}, method="POST")  # noqa: S310 - scheme checked above
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - scheme checked above
            answer.read()
