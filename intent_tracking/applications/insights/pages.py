"""A report as a page of its own (HTML without a script or an address in it) and as Markdown.

What shoppers wrote is hostile: every text is escaped for the format that it goes into.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Final

from intent_tracking.applications.insights.document import Block, Document, Listing, Paragraph, Picture, Rows
from intent_tracking.text.language import Language
from intent_tracking.text.markdown import escaped

# The page may show its own pictures and style, and load or run nothing.
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE: Final = """
body{margin:0 auto;max-width:62rem;padding:1rem;color:#1f2933;background:#fff;
font:16px/1.5 system-ui,-apple-system,"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.2rem;margin-top:2.2rem}
.lead,.note{color:#52606d}img{max-width:100%;height:auto}.table{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.92rem;min-width:50%}
th,td{padding:.35rem .7rem;border-bottom:1px solid #e4e7eb;text-align:left;vertical-align:top;overflow-wrap:break-word}
th{color:#52606d;font-weight:600}td.figure,th.figure{text-align:right}td.figure{white-space:nowrap}
@media(max-width:30rem){th,td{padding:.35rem .4rem}}
a{color:#2563a8}nav{text-align:right}
"""


def as_html(
    report: Document, language: Language, folder: Path, files: Mapping[str, str], other: tuple[str, str]
) -> str:
    """One file, pictures inside.

    Args:
        report: what to show.
        language: of the page.
        folder: where the pictures lie.
        files: the file of each picture by its name.
        other: address and name of the same report in the other language.
    """
    parts = [
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(report.title)}</title><style>{_STYLE}</style></head>\n<body>",
        f'<nav><a href="{escape(other[0])}">{escape(other[1])}</a></nav>',
        f'<h1>{escape(report.title)}</h1>\n<p class="lead">{escape(report.lead)}</p>',
    ]
    for section in report.sections:
        parts.append(f"<section><h2>{escape(section.title)}</h2>")
        parts += [_html(block, folder, files) for block in section.blocks]
        parts.append("</section>")
    return "\n".join([*parts, "</body></html>\n"])


def _html(block: Block, folder: Path, files: Mapping[str, str]) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{_sentence_html(text)}</p>"
        case Listing(texts):
            return "<ul>" + "".join(f"<li>{_sentence_html(text)}</li>" for text in texts) + "</ul>"
        case Picture(name, says):
            content = base64.b64encode((folder / files[name]).read_bytes()).decode()
            return f'<p><img alt="{escape(says)}" src="data:image/png;base64,{content}"></p>'
        case Rows(header, rows):
            marks = [' class="figure"' if all(_is_figure(row[at]) for row in rows) else "" for at in range(len(header))]
            head = "".join(f"<th{mark}>{escape(name)}</th>" for name, mark in zip(header, marks, strict=True))
            body = "\n".join(
                "<tr>"
                + "".join(f"<td{mark}>{escape(str(cell))}</td>" for cell, mark in zip(row, marks, strict=True))
                + "</tr>"
                for row in rows
            )
            return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _is_figure(cell: str | int | float) -> bool:
    return isinstance(cell, int | float) or cell == "–"


def _sentence_html(text: str) -> str:
    # Our own sentences name assets in backticks.
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def as_markdown(report: Document, files: Mapping[str, str], other: tuple[str, str]) -> str:
    """CommonMark with tables, pictures as files beside it."""
    parts = [f"# {escaped(report.title)}", f"[{other[1]}]({other[0]})", _sentence(report.lead)]
    for section in report.sections:
        parts.append(f"## {escaped(section.title)}")
        parts += [_markdown(block, files) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block, files: Mapping[str, str]) -> str:
    match block:
        case Paragraph(text):
            return _sentence(text)
        case Listing(texts):
            return "\n".join(f"- {_sentence(text)}" for text in texts)
        case Picture(name, says):
            return f"![{escaped(says)}]({files[name]})"
        case Rows(header, rows):
            lines = ["| " + " | ".join(map(escaped, header)) + " |", "|" + "---|" * len(header)]
            lines += ["| " + " | ".join(escaped(str(cell)) for cell in row) + " |" for row in rows]
            return "\n".join(lines)


def _sentence(text: str) -> str:
    # Our own sentences name assets in backticks; the reasons of a drift verdict hold names of columns alone.
    return "`".join(part if odd % 2 else _escaped_keeping_ends(part) for odd, part in enumerate(text.split("`")))


def _escaped_keeping_ends(text: str) -> str:
    shown = escaped(text)
    return f"{' ' if text[:1] == ' ' else ''}{shown}{' ' if text[-1:] == ' ' and shown else ''}"
