"""The limits that are part of the interface, typed once; the OpenAPI document and the errors read them from here.

A client splits its batches by them, so they are the same everywhere. What depends on a shop's machines and traffic is
in `intent_tracking.settings`: time, requests at once, requests a second.
"""

from __future__ import annotations

from typing import Final

MAX_BODY_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 16
MAX_EVENTS: Final = 500
MAX_TEXTS: Final = 256
MAX_TEXT_CHARACTERS: Final = 4_000
MAX_NAME_CHARACTERS: Final = 200
# What a caller is told about, best first.
MAX_INTENTS: Final = 5
MAX_ACTIONS: Final = 3
