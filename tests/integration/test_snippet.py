"""The browser snippet in a real Chromium, on pages that load it from the real service."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from bentos.intent_service import snippet
from intent_tracking.access.keys import Scope, create_key
from intent_tracking.access.ring import REFRESH_SECONDS
from intent_tracking.events.segment_log import read_log
from tests.fakes.file_server import FileServer, file_server
from tests.fakes.service_process import RunningService, running_service

pytestmark = pytest.mark.integration

CHROMIUM = Path("/usr/bin/chromium")
TRACK = "**/v1/track"
_NAMES = count()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snippet-home")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[FileServer]:
    """Another origin than that of the service, as the site of a shop is."""
    with file_server({}) as site:
        yield site


@pytest.fixture(scope="module")
def service(home: Path, elsewhere: FileServer) -> Iterator[RunningService]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("INTENT_CORS_ORIGINS", elsewhere.address)
        with running_service(home) as running:
            yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Shop:
    """Pages of a shop in one browser profile, and what of them has reached the service."""

    def __init__(self, context: BrowserContext, service: RunningService, home: Path) -> None:
        self.context = context
        self.console: list[str] = []
        self.source = f"shop-{next(_NAMES)}"
        self._service = service
        self._home = home

    def open(
        self, attributes: str = 'data-consent="granted"', before: str = "", site: FileServer | None = None
    ) -> Page:
        """A page of the service's origin, or of `site`, with the snippet; `before` is a script that runs first."""
        tag = f'<script src="{self._service.address}/snippet.js" data-source="{self.source}" {attributes}></script>'
        html = f"<!doctype html><title>Shop</title><script>{before}</script>{tag}"
        page = self.context.new_page()
        page.on("console", lambda message: self.console.append(message.text))
        if site is None:
            page.route("**/shop.html", lambda route: route.fulfill(body=html, content_type="text/html"))
        else:
            site.content["/shop.html"] = html.encode()
        page.goto((site or self._service).address + "/shop.html")
        return page

    def events(self) -> list[dict[str, Any]]:
        """The events of this shop in the event log."""
        lines = [json.loads(line.data) for line in read_log(self._home / "event_log")]
        return [event for event in lines if event["source"] == self.source]

    def arrived(self, number: int) -> list[dict[str, Any]]:
        """The events of this shop, once there are `number`."""
        wait_for(lambda: len(self.events()) >= number)
        return self.events()


@pytest.fixture
def shop(browser: Browser, service: RunningService, home: Path) -> Iterator[Shop]:
    context = browser.new_context()
    yield Shop(context, service, home)
    context.close()


def wait_for(is_true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def view(page: Page, item: str = "sku-1") -> None:
    page.evaluate("item => intent.track('view_item', {items: [{item_id: item, price: 9.5}]})", item)


def stored(page: Page) -> list[str]:
    names: list[str] = page.evaluate("Object.keys(localStorage).filter(name => name.startsWith('intent.'))")
    return names


def sent(page: Page) -> None:
    wait_for(lambda: page.evaluate("intent.pending") == 0)


def test_it_is_small() -> None:
    assert Path(snippet.__file__).with_name("snippet.js").stat().st_size < 6 << 10


def test_events_arrive_with_who_when_and_where(shop: Shop) -> None:
    page = shop.open()
    view(page)
    page.evaluate("intent.identify('user-7')")
    page.evaluate("intent.track('message', {text: '我的快递到哪里了'}, {scene: 'customer_service'})")
    first, second = shop.arrived(2)
    assert (first["event_name"], first["params"]["items"][0]["item_id"]) == ("view_item", "sku-1")
    assert (second["params"]["text"], second["user_id"]) == ("我的快递到哪里了", "user-7")
    assert "user_id" not in first
    assert first["anonymous_id"] == second["anonymous_id"]
    assert first["session_id"] == second["session_id"]
    sent(page)


def test_a_visitor_is_known_again_and_a_session_ends_after_half_an_hour_of_silence(shop: Shop) -> None:
    page = shop.open()
    view(page)
    shop.arrived(1)
    page.close()
    # A second page without the attribute: the visitor has consented before.
    page = shop.open("")
    view(page)
    page.evaluate(
        "localStorage['intent.session'] = localStorage['intent.session'].split(' ')[0] + ' ' + (Date.now() - 31 * 60e3)"
    )
    view(page)
    events = shop.arrived(3)
    assert len({event["anonymous_id"] for event in events}) == 1
    assert events[0]["session_id"] == events[1]["session_id"] != events[2]["session_id"]


def test_nothing_is_stored_or_sent_before_consent(shop: Shop) -> None:
    page = shop.open("")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    view(page)
    page.evaluate("intent.flush()")
    assert (stored(page), requests, page.evaluate("intent.pending")) == ([], [], 1)
    page.evaluate("intent.consent(true)")
    shop.arrived(1)
    assert "intent.anonymous_id" in stored(page)


def test_a_refusal_removes_what_was_stored_and_ends_tracking(shop: Shop) -> None:
    page = shop.open()
    page.route(TRACK, lambda route: route.abort())
    view(page)
    assert stored(page)
    page.evaluate("intent.consent(false)")
    view(page)
    assert (stored(page), page.evaluate("intent.pending")) == ([], 0)


@pytest.mark.parametrize("attributes", ['data-consent="granted"', 'data-consent="granted" data-key="any"'])
def test_events_of_the_last_moment_of_a_page_arrive(shop: Shop, attributes: str) -> None:
    page = shop.open(attributes)
    view(page)
    page.goto("about:blank")
    assert len(shop.arrived(1)) == 1
    # By beacon nobody learns that it arrived: the next page sends it again, which changes nothing.
    sent(shop.open(attributes))
    assert len(shop.events()) == 1


def test_an_outage_is_sat_out_across_pages_and_nothing_is_doubled(shop: Shop) -> None:
    refused: list[str] = []

    def refuse(route: Route) -> None:
        refused.append(route.request.url)
        if len(refused) % 2:
            route.abort()
        else:
            route.fulfill(status=503, headers={"Retry-After": "0"}, json={"error": {"code": "overloaded"}})

    shop.context.route(TRACK, refuse)
    page = shop.open()
    for number in range(60):
        view(page, f"sku-{number}")

    def twice() -> bool:
        page.wait_for_timeout(20)  # here Playwright calls `refuse`
        return len(refused) >= 2

    wait_for(twice)
    page.close()
    shop.context.unroute(TRACK)
    sent(shop.open())
    # What the beacon of the first page carried came first: the service orders a session by the times of its events.
    items = [event["params"]["items"][0]["item_id"] for event in shop.events()]
    assert sorted(items) == sorted(f"sku-{number}" for number in range(60))


def test_a_full_queue_loses_the_oldest_and_says_so(shop: Shop) -> None:
    page = shop.open()
    page.route(TRACK, lambda route: route.abort())
    page.evaluate("for (let i = 0; i < 205; i++) intent.track('view_item', {items: [{item_id: 'sku-' + i}]})")
    assert page.evaluate("intent.pending") == 200
    assert "the oldest event is lost" in " ".join(shop.console)
    page.unroute(TRACK)
    page.evaluate("intent.flush()")
    sent(page)
    items = [event["params"]["items"][0]["item_id"] for event in shop.events()]
    assert items == [f"sku-{number}" for number in range(5, 205)]


def test_rejected_events_are_named_in_the_console_and_not_sent_again(shop: Shop) -> None:
    page = shop.open()
    view(page)
    page.evaluate("intent.track('no_such_event')")
    page.evaluate("intent.track('view_item', {items: " + "[" * 30 + "]" * 30 + "})")  # spoils its whole call
    view(page, "sku-2")
    sent(page)
    assert [event["params"]["items"][0]["item_id"] for event in shop.events()] == ["sku-1", "sku-2"]
    assert "an event is rejected" in " ".join(shop.console)
    assert "an event is refused" in " ".join(shop.console)


def test_calls_that_come_before_the_script_are_made_up_for(shop: Shop) -> None:
    shop.open(before="(window.intent = []).push(['track', 'search', {search_term: 'red dress'}])")
    assert shop.arrived(1)[0]["params"]["search_term"] == "red dress"


def test_a_page_of_another_origin_sends_with_a_public_key(shop: Shop, elsewhere: FileServer, home: Path) -> None:
    """The last test of this module: from the first key on, the service asks every caller for one."""
    key, _ = create_key(home / "keys.json", [Scope.TRACK], "pages of the shop", now=datetime.now(UTC), public=True)
    time.sleep(2 * REFRESH_SECONDS)
    unknown = shop.open('data-consent="granted" data-key="unknown"', site=elsewhere)
    view(unknown)
    unknown.evaluate("intent.flush()")
    assert unknown.evaluate("intent.pending") == 1
    unknown.close()
    page = shop.open(f'data-consent="granted" data-key="{key}"', site=elsewhere)
    view(page, "sku-2")
    page.goto("about:blank")
    assert [event["params"]["items"][0]["item_id"] for event in shop.arrived(2)] == ["sku-1", "sku-2"]
