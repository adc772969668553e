"""The report of a day as files: HTML and Markdown in both languages, with the pictures of both."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from intent_tracking.applications.insights.document import document, pictures_of
from intent_tracking.applications.insights.findings import Insights
from intent_tracking.applications.insights.pages import as_html, as_markdown
from intent_tracking.applications.insights.pictures import draw
from intent_tracking.applications.insights.wording import Wording
from intent_tracking.tables import atomic_directory
from intent_tracking.text.language import Language

HTML_FILE: Final = "report.html"
MARKDOWN_FILE: Final = "report.md"
_ENDINGS: Final[dict[Language, str]] = {"en": "", "zh": ".zh"}


def write_report(found: Insights, folder: Path) -> Path:
    """Write the report into `folder`, in place of one that is there; the same findings give the same bytes.

    `report.html` and `report.md` are English, `report.zh.html` and `report.zh.md` Chinese.

    Returns:
        The English page.
    """
    with atomic_directory(folder) as new:
        for language, ending in _ENDINGS.items():
            wording = Wording(language)
            report = document(found, wording)
            files = {p.name: draw(p.name, found, wording, new, f"{p.name}{ending}") for p in pictures_of(report)}
            beside = next(each for name, each in _ENDINGS.items() if name != language)
            html = as_html(report, language, new, files, (f"report{beside}.html", wording("other")))
            markdown = as_markdown(report, files, (f"report{beside}.md", wording("other")))
            (new / f"report{ending}.html").write_text(html, encoding="utf-8")
            (new / f"report{ending}.md").write_text(markdown, encoding="utf-8")
    return folder / HTML_FILE
