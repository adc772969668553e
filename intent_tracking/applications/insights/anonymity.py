"""The proof that a written report names nobody: what its check and an erasure rely on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# A shorter id cannot be told from a figure or a word of the report.
SHORTEST_ID: Final = 6
_PICTURES: Final = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


def named_in(folder: Path, ids: Iterable[str]) -> list[str]:
    """The `ids` that stand in a text of the report in `folder`; none in a report as it should be."""
    texts = [_PICTURES.sub("", path.read_text(encoding="utf-8")) for path in sorted(folder.glob("report*"))]
    whole = "\n".join(texts)
    # Markdown escapes some characters of an id.
    plain = whole.replace("\\", "")
    return sorted(each for each in set(ids) if len(each) >= SHORTEST_ID and _stands(each, plain))


def _stands(name: str, text: str) -> bool:
    at = text.find(name)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(name) : at + len(name) + 1]
        if not before.isalnum() and not after.isalnum():
            return True
        at = text.find(name, at + 1)
    return False
