"""Every limit of the service, typed once; the OpenAPI document and the errors read them from here."""

from __future__ import annotations

from typing import Final

MAX_BODY_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 16
MAX_EVENTS: Final = 500
MAX_TEXTS: Final = 256
MAX_TEXT_CHARACTERS: Final = 4_000
MAX_NAME_CHARACTERS: Final = 200
# Well below BentoML's own limit, whose answer has another shape.
REQUEST_SECONDS: Final = 20.0
# What a caller is told about, best first.
MAX_INTENTS: Final = 5
MAX_ACTIONS: Final = 3
# Processes. Each has the model in memory and shares the cores with the others.
WORKERS: Final = 1
