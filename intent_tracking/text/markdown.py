"""Text that others wrote, as text in Markdown."""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile(r"([\\`*_\[\]<>|#~&!])")
_LINK: Final = re.compile(r"(?i)\b(https?|ftp)://|\bwww\.")


def escaped(text: str) -> str:
    """`text` on one line with every mark of CommonMark escaped, and without a link that a reader would make of it."""
    text = " ".join(text.split())
    return _LINK.sub(lambda found: found[0].replace(":", "\\:").replace(".", "\\."), _MARKS.sub(r"\\\1", text))
