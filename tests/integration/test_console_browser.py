"""The console as a person uses it: Chromium, a real server, real events. Skipped where there is no Chromium."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from intent_tracking.release import publish
from tests.fakes.console_papers import store_profile, write_audiences, write_report
from tests.fakes.page_server import PageServer, page_server
from tests.fakes.predictors import fake_artifact
from tests.fakes.released_applications import HOSTILE_ITEM, HOSTILE_NAME, released_applications
from tests.fakes.service_process import free_port

pytestmark = pytest.mark.integration

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
HOSTILE = '<img src=x onerror="document.title=\'owned\'"> red <svg onload="document.title=\'owned\'"> " onfocus="x'

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


def new_home(folder: Path) -> Path:
    publish(folder / "release.json", {"intent_model": fake_artifact(folder, "m1")}, "first")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    home = new_home(tmp_path_factory.mktemp("console"))
    publish(home / "release.json", released_applications(home), "with applications")
    write_audiences(home)
    write_report(home, "\\<img src=x onerror=alert(1)\\> \\| \\[a\\](b)")
    store_profile(home, "anonymous:visitor-of-known-1")
    with page_server(home) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: PageServer) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB", viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    opened.goto(server.address)
    expect(opened.locator("#link")).to_have_attribute("data-state", "live")
    yield opened
    context.close()
    # A breach of the content security policy is an error on the console too.
    assert problems == []


def track(server: PageServer, text: str, session: str, **fields: Any) -> None:
    event = {
        "event_id": uuid.uuid4().hex,
        "event_name": "message",
        "event_time": datetime.now(UTC).isoformat(),
        "anonymous_id": f"visitor-of-{session}",
        "session_id": session,
        "source": "web",
        "params": {"text": text},
        **fields,
    }
    answer = httpx.post(server.address + "/v1/track", json={"events": [event]}, timeout=30).json()
    assert answer["accepted"] == 1, answer


def select(page: Page, session: str) -> None:
    page.locator(f'[data-session="{session}"] button').click()


def test_the_page_keeps_60_sessions_though_the_selected_one_is_the_oldest(page: Page) -> None:
    kept = page.evaluate("""async () => {
        const sessions = new (await import("/console/sessions.js")).Sessions();
        for (let n = 0; n < 85; n++) sessions.add({session_id: `s${n}`, at: "2026-01-01T00:00:00Z"});
        return [sessions.selected, ...sessions.list().map((each) => each.id)];
    }""")
    assert kept == ["s0", *(f"s{n}" for n in range(84, 25, -1)), "s0"]


def test_a_tracked_event_appears_live_with_its_key_information(page: Page, server: PageServer) -> None:
    track(server, "where is my red parcel", "live-1")
    select(page, "live-1")
    detail = page.locator("#session")
    expect(detail.locator(".intent")).to_contain_text("Track an order")
    expect(detail.locator("mark .value")).to_have_text("red")
    expect(detail.locator("mark .kind")).to_have_text("colour")
    expect(detail.locator("blockquote")).to_contain_text("where is my red")
    expect(detail.locator(".actions li").first).to_have_text("Show the order status")
    expect(detail.get_by_role("meter")).to_have_attribute("aria-valuenow", "20")
    expect(detail.locator(".series-0 .dot")).to_have_count(1)
    track(server, "I want my money back, refund it", "live-1")
    expect(detail.locator(".intent")).to_contain_text("Return or refund")
    expect(detail.locator(".series-0 .dot")).to_have_count(2)
    expect(detail.locator(".journey li")).to_have_count(2)
    expect(page.locator("#facts")).to_contain_text("m1")
    expect(page.locator("#facts")).to_contain_text("No report yet")


def test_the_chart_is_read_by_keys(page: Page, server: PageServer) -> None:
    for text in ("cancel my order", "or rather a refund, I want my money back"):
        track(server, text, "keys-1")
    select(page, "keys-1")
    plot = page.locator(".plot")
    expect(page.locator(".series-0 .dot")).to_have_count(2)
    assert "Return or refund" in (plot.get_attribute("aria-label") or "")
    expect(page.locator(".chart table tbody tr")).to_have_count(2)
    plot.focus()
    plot.press("Home")
    expect(page.locator(".cursor")).to_have_count(1)
    first = page.locator(".readout").inner_text()
    plot.press("ArrowRight")
    expect(page.locator(".readout")).not_to_have_text(first)


def test_the_language_is_switched_and_remembered(page: Page, server: PageServer) -> None:
    track(server, "我想退货", "zh-1")
    select(page, "zh-1")
    expect(page.locator("#session .intent")).to_contain_text("Return or refund")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator("#session .intent")).to_contain_text("退货退款")
    expect(page.get_by_role("heading", name="实时会话")).to_be_visible()
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page).to_have_title("意图控制台")


def test_what_a_shopper_types_is_text_and_nothing_else(page: Page, server: PageServer) -> None:
    session = "<img src=y onerror=alert(1)>"
    track(server, HOSTILE, session)
    page.locator("#session-list button", has_text="<img src=x").click()
    detail = page.locator("#session")
    expect(detail.locator("blockquote")).to_contain_text("<img src=x onerror=")
    expect(detail.locator(".session-id")).to_have_text(session)
    page.locator("#try-text").fill(HOSTILE)
    page.locator("#try-text").press("Control+Enter")
    expect(page.locator("#try-answer blockquote")).to_contain_text("<img src=x onerror=")
    assert (
        page.locator("#session img, #session-list img, #try-answer img, #try-answer svg, script:not([src])").count()
        == 0
    )
    expect(page).to_have_title("Intent console")


def test_the_reasons_are_shown_as_colours_and_as_words(page: Page, server: PageServer) -> None:
    track(server, "please cancel it", "why-1")
    select(page, "why-1")
    page.locator(".why").click()
    expect(page.locator("#session .heat-for-5")).to_have_text("cancel")
    expect(page.locator("#session .reasons")).to_contain_text("Speaks for Cancel an order")
    page.locator(".why").click()
    expect(page.locator("#session .heat")).to_have_count(0)
    # Offsets count characters, and a smile is one of them.
    page.locator("#try-text").fill("😀😀 red: refund")
    page.get_by_role("button", name="Read it").click()
    expect(page.locator("#try-answer mark .value")).to_have_text("red")
    expect(page.locator("#try-answer .heat-for-5")).to_have_text("refund")


def test_the_applications_say_what_they_know_of_the_session_in_both_languages(page: Page, server: PageServer) -> None:
    track(server, "where is my red parcel", "known-1")
    select(page, "known-1")
    profile = page.locator('[data-application="profile"]')
    expect(profile.locator(".segment")).to_have_text("big spenders")
    expect(profile.locator("dd")).to_contain_text("more than 90 of 100 shoppers")
    risk = page.locator('[data-application="risk"]')
    expect(risk.locator(".decision b")).to_have_text("Let it pass")
    expect(risk.get_by_role("meter")).to_have_attribute("aria-valuemax", "100")
    page.get_by_role("button", name="中文").click()
    expect(profile.locator(".segment")).to_have_text("高消费")
    expect(risk.locator(".decision b")).to_have_text("放行")
    page.get_by_role("button", name="EN", exact=True).click()
    track(server, "hello", "unknown-1")
    select(page, "unknown-1")
    expect(profile).to_contain_text("No profile yet")


def test_items_are_shown_with_their_reason_and_a_name_stays_text(page: Page, server: PageServer) -> None:
    looked = {"event_name": "view_item", "params": {"items": [{"item_id": HOSTILE_ITEM}]}}
    track(server, "", "looks-1", **looked)
    select(page, "looks-1")
    recommend = page.locator('[data-application="recommend"]')
    expect(recommend.locator(".strategy")).to_have_text("What this shopper likes")
    expect(recommend.locator(".items li")).to_have_count(5)
    expect(recommend.locator(".items")).to_contain_text(HOSTILE_NAME)
    assert recommend.locator("img").count() == 0
    track(server, "I want my money back, refund it", "looks-1")
    expect(recommend).to_contain_text("Nothing: this is no moment to sell.")


def test_the_desk_answers_by_passage_or_hands_over_and_its_words_stay_text(page: Page, server: PageServer) -> None:
    page.locator("#desk-question").fill("How long does delivery take?")
    page.locator("#desk-do").click()
    answer = page.locator("#desk-answer")
    expect(answer.locator(".said")).to_have_text("Parcels arrive within two working days.")
    expect(answer).to_contain_text("From the passage faq.csv#1")
    expect(answer.locator(".candidates li").first).to_contain_text("faq.csv#1")
    track(server, HOSTILE, "desk-1")
    select(page, "desk-1")
    page.get_by_role("button", name="Newest words").click()
    page.locator("#desk-do").click()
    expect(answer.locator(".verdict")).to_contain_text("a person takes over")
    assert answer.locator("img, svg").count() == 0
    expect(page).to_have_title("Intent console")


def test_the_newest_audiences_and_the_report_are_there_and_its_words_stay_text(page: Page, server: PageServer) -> None:
    expect(page.locator("#audiences li").first).to_contain_text("Lapsing")
    expect(page.locator("#audiences li").first).to_contain_text("1 written to")
    page.get_by_role("button", name="Read the report").click()
    report = page.locator("#insights-report")
    expect(report.locator("td").first).to_have_text("<img src=x onerror=alert(1)> | [a](b)")
    expect(report.locator("td")).to_have_count(2)
    assert report.locator("img, a").count() == 0
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_simulated_shopper_plays_until_it_is_stopped(page: Page) -> None:
    page.get_by_role("button", name="Play a visit").click()
    row = page.locator('[data-session^="console-demo-"]')
    expect(row).to_have_count(1)
    expect(row.locator(".tag")).to_have_text("simulated")
    expect(page.locator("#session .session-id")).to_contain_text("console-demo-")
    expect(page.locator("#shopper-now")).to_contain_text(re.compile(r"([2-9]|1[01]) of 11"))
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#shopper-now")).to_have_text("Stopped.")


def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, server: PageServer) -> None:
    track(server, "where is my red parcel " + "x" * 200, "phone-1")
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark", locale="zh-CN")
    page = context.new_page()
    page.goto(server.address)
    select(page, "phone-1")
    expect(page.locator("#session .intent")).to_contain_text("查询物流")
    for part in (".plot svg", ".actions", "#try", "#shopper-play", "#desk", "#audiences", "#application-cards"):
        expect(page.locator(part)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_the_page_says_that_it_is_cut_off_and_comes_back_by_itself(browser: Browser, tmp_path: Path) -> None:
    home, port = new_home(tmp_path), free_port()
    page = browser.new_page(locale="en-GB")
    with page_server(home, port) as server:
        page.goto(server.address)
        expect(page.locator("#session")).to_contain_text("Waiting for the first shopper")
        track(server, "where is my parcel", "before")
        select(page, "before")
        # An open stream must not hold up the stop of the service: it would for as long as it is open.
        server.stop(120)
        expect(page.locator("#link")).to_have_attribute("data-state", "cut")
        expect(page.locator("#cut")).to_contain_text("What you see is from")
    with page_server(home, port) as server:
        expect(page.locator("#link")).to_have_attribute("data-state", "live")
        expect(page.locator("#cut")).to_be_hidden()
        track(server, "cancel it", "after")
        select(page, "after")
        expect(page.locator("#session .intent")).to_contain_text("Cancel an order")
        # What was on the page stays, once.
        expect(page.locator('[data-session="before"]')).to_have_count(1)
        select(page, "before")
        expect(page.locator(".series-0 .dot")).to_have_count(1)
    page.close()


def test_where_keys_are_configured_the_page_asks_for_one(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    with page_server(new_home(tmp_path), keys="open-sesame") as server:
        page.goto(server.address)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        dialog.get_by_label("Key").fill("wrong")
        dialog.get_by_role("button").click()
        expect(dialog).to_contain_text("This key is not accepted")
        dialog.get_by_label("Key").fill("open-sesame")
        dialog.get_by_role("button").click()
        expect(page.locator("#link")).to_have_attribute("data-state", "live")
        expect(dialog).to_be_hidden()
        page.locator("#try-text").fill("cancel my order")
        page.get_by_role("button", name="Read it").click()
        expect(page.locator("#try-answer .bars li").first).to_contain_text("Cancel an order")
        # No application is released here.
        expect(page.locator("#desk-answer")).to_contain_text("Not released yet")
        expect(page.locator("#desk-do")).to_be_disabled()
        expect(page.locator("#audiences")).to_contain_text("None yet")
        assert page.evaluate("localStorage.length + ':' + document.cookie") == "0:"
        page.reload()
        expect(page.locator("#link")).to_have_attribute("data-state", "live")
    context.close()
