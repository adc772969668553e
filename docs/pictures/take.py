"""Take the pictures of this folder again: `make demo`, then `make dev` in one terminal and this in another.

Needs Debian's `chromium`. Pages are those of a person who opens the Dagster UI on the demo's data.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]


def settle(page: Page, seconds: float = 4) -> None:
    """Wait until the page has loaded its data and drawn it."""
    page.wait_for_timeout(int(seconds * 1000))


def main(address: str) -> None:
    """Visit the pages and save what they show."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        graph = browser.new_page(viewport={"width": 1800, "height": 1600}, device_scale_factor=1.5)
        graph.goto(address + "/asset-groups")
        settle(graph)
        graph.mouse.click(1000, 250, button="right")
        graph.get_by_text("Expand all groups").last.click()
        settle(graph)
        graph.screenshot(path=FOLDER / "asset-graph.png", clip={"x": 555, "y": 308, "width": 1230, "height": 870})
        page = browser.new_page(viewport={"width": 1600, "height": 900}, device_scale_factor=1.5)
        for name, path in (
            ("materialization", "/assets/intent_model_evaluation?view=overview"),
            ("blocked-check", "/assets/intent_model_evaluation?view=checks"),
            ("drift", "/assets/drift_report?view=overview"),
        ):
            page.goto(address + path)
            settle(page)
            page.screenshot(path=FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3070")
