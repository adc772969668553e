"""Traditional characters in their simplified form, one for one, so that offsets stay."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


def simplified(text: str) -> str:
    """`text` with each traditional character simplified; as long as `text`. For what a model sees, not for people:
    where one traditional character stands for two simplified ones (著), the commoner is taken."""
    return text if text.isascii() else text.translate(_table())


@cache
def _table() -> dict[int, str]:
    lines = (files("intent_tracking.text") / "pipelines" / "simplified.tsv").read_text(encoding="utf-8").splitlines()
    return {ord(line[0]): line[2] for line in lines if not line.startswith("#")}
