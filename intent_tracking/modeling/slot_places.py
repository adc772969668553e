"""Where the slots that people marked in a message as it was written lie in the text that the model reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from intent_tracking.modeling.annotations import Slot
from intent_tracking.sessions.render import ModelInput, free_text, free_text_with_offsets
from intent_tracking.sessions.vocabulary import PLACEHOLDER_TOKENS


def as_written(stored: str | None, slots: Sequence[Slot]) -> str | None:
    """The stored message, where the offsets of `slots` hold in it: no placeholder stands before the end of a slot."""
    if stored is None or any(slot.value is not None for slot in slots):
        return None
    first = min((place for token in PLACEHOLDER_TOKENS if (place := stored.find(token)) >= 0), default=len(stored))
    return stored if all(slot.end <= first for slot in slots) else None


def placed_slots(
    slots: Sequence[Slot], written: str | None, rendered: ModelInput, counts: Counter[str]
) -> list[dict[str, Any]]:
    """Slots as offsets in the rendered text; those that cannot be kept are counted, by reason.

    Slots inside one number or address, of which a placeholder is left, become one: of other names the first counts.
    """
    utterance = rendered.text[rendered.utterance_start : rendered.utterance_end]
    mapped = free_text_with_offsets(written) if written is not None else None
    found: list[dict[str, Any]] = []
    for slot in slots:
        place = None
        if mapped is not None and mapped.text == utterance:
            place = mapped.map_span(slot.start, slot.end)
        elif slot.value is not None:
            value = free_text(slot.value)
            places = [i for i in range(len(utterance)) if value and utterance.startswith(value, i)]
            if places:
                start = min(places, key=lambda candidate: abs(candidate - slot.start))
                place = (start, start + len(value))
        if place is None or not place[0] < place[1] <= len(utterance):
            counts["slot not found in its text"] += 1
            continue
        start, end = (rendered.utterance_start + edge for edge in place)
        if any(start < other["end"] and other["start"] < end for other in found):
            counts["slot in the same personal data as another"] += 1
            continue
        found.append({"name": slot.name, "start": start, "end": end})
    return found
