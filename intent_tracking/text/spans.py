"""Where a span of characters ends up after a text was edited: the bookkeeping of cleaning and scrubbing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Characters [start, end) of the old text became [new_start, new_end) of the new one."""

    start: int
    end: int
    new_start: int
    new_end: int


@dataclass(frozen=True)
class SpanMap:
    """Maps spans of an original text to the edited text, through one or more rounds of edits.

    Each round is a tuple of non-overlapping edits in the order of the text. A span that touches the inside of an edit
    grows to the whole replacement, so that a labelled phone number maps to its whole placeholder.
    """

    rounds: tuple[tuple[Edit, ...], ...] = ()

    def __call__(self, start: int, end: int) -> tuple[int, int]:
        """The span [start, end) of the original, in the edited text.

        Raises:
            ValueError: the span is negative or ends before it starts.
        """
        if not 0 <= start <= end:
            raise ValueError(f"span ({start}, {end}) is not 0 <= start <= end")
        for edits in self.rounds:
            start, end = _map_start(edits, start), _map_end(edits, end)
            end = max(start, end)
        return start, end

    def then(self, later: SpanMap) -> SpanMap:
        """This map followed by `later`."""
        return SpanMap(self.rounds + later.rounds)

    def inverted(self) -> SpanMap:
        """The map from the edited text back to the original: a prediction's span in the words that were typed."""
        return SpanMap(
            tuple(
                tuple(Edit(edit.new_start, edit.new_end, edit.start, edit.end) for edit in edits)
                for edits in reversed(self.rounds)
            )
        )


def replace_spans(text: str, replacements: Iterable[tuple[int, int, str]]) -> tuple[str, SpanMap]:
    """`text` with each (start, end, replacement) put in, and the map of spans; they come ordered and disjoint."""
    pieces: list[str] = []
    edits: list[Edit] = []
    position = new_position = 0
    for start, end, replacement in replacements:
        pieces.append(text[position:start])
        new_position += start - position
        pieces.append(replacement)
        edits.append(Edit(start, end, new_position, new_position + len(replacement)))
        position, new_position = end, new_position + len(replacement)
    if not edits:
        return text, SpanMap()
    pieces.append(text[position:])
    return "".join(pieces), SpanMap((tuple(edits),))


def _map_start(edits: tuple[Edit, ...], position: int) -> int:
    following = bisect_right(edits, position, key=lambda edit: edit.end)
    if following < len(edits) and edits[following].start <= position:
        return edits[following].new_start
    return _shifted(edits, following, position)


def _map_end(edits: tuple[Edit, ...], position: int) -> int:
    following = bisect_left(edits, position, key=lambda edit: edit.start)
    if following and edits[following - 1].end >= position:
        return edits[following - 1].new_end
    return _shifted(edits, following, position)


def _shifted(edits: tuple[Edit, ...], following: int, position: int) -> int:
    if not following:
        return position
    before = edits[following - 1]
    return position - before.end + before.new_end
