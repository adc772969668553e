"""Take the picture of docs/insights.md again: `python docs/pictures/take_insights.py FOLDER`, the folder of a report.

Needs Debian's `chromium`. Pictures the English page as it is; it also says where the page would scroll sideways on a
phone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import FloatRect, Page, sync_playwright

FOLDER = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
PHONE = 360


def main(report: Path) -> None:
    """The picture, and the width on a phone."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1040, "height": 1500})
        page.goto((report / "report.html").resolve().as_uri())
        page.screenshot(
            path=FOLDER / "insights.png",
            full_page=True,
            clip=_between(page, "Searches that led nowhere", "What the model did not understand"),
        )
        page.set_viewport_size({"width": PHONE, "height": 740})
        wide = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
    if wide > PHONE:
        raise SystemExit(f"{report}: the page is {wide} px wide on a phone of {PHONE}")


def _between(page: Page, first: str, last: str) -> FloatRect:
    """From the top of one section to the end of another."""
    boxes = [page.locator("section", has=page.locator("h2", has_text=each)).bounding_box() for each in (first, last)]
    if boxes[0] is None or boxes[1] is None:
        raise SystemExit(f"the page lacks the section {first} or {last}")
    height = boxes[1]["y"] + boxes[1]["height"] - boxes[0]["y"]
    return {"x": 0, "y": boxes[0]["y"], "width": 1040, "height": height}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
