"""Take the pictures of the console again: `python docs/pictures/take_console.py http://127.0.0.1:3000`.

Needs Debian's `chromium`, and a service without keys that has a model. Plays a simulated visit in each language and
pictures what a person sees of it: nothing on the pictures is made by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

FOLDER = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
VISIT_MILLISECONDS = 60_000


def picture(browser: Browser, address: str, name: str, *, locale: str, width: int, height: int, scheme: str) -> None:
    """Play the second visit, of a shopper who waits for a parcel, to its end, ask why, and save what is seen."""
    context = browser.new_context(
        locale=locale, viewport={"width": width, "height": height}, device_scale_factor=1.5, color_scheme=scheme
    )  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    page.locator("#shopper-play").click()
    page.locator("#shopper-play").click()
    expect(page.locator("#shopper-now")).to_contain_text("5")
    expect(page.locator("#shopper-stop")).to_be_hidden(timeout=VISIT_MILLISECONDS)
    expect(page.locator(".journey li")).to_have_count(5, timeout=VISIT_MILLISECONDS)
    page.locator(".why").click()
    expect(page.locator(".reasons")).to_be_visible(timeout=VISIT_MILLISECONDS)
    page.mouse.move(0, 0)
    page.wait_for_timeout(2000)
    page.screenshot(path=FOLDER / f"{name}.png", full_page=width < 500)
    context.close()


def main(address: str) -> None:
    """The two pictures of docs/console.md."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        picture(browser, address, "console-phone", locale="zh-CN", width=360, height=740, scheme="dark")
        picture(browser, address, "console", locale="en-GB", width=1440, height=1180, scheme="light")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000")
