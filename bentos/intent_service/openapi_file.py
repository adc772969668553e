"""The OpenAPI document as a file of the repository: `make openapi` writes it, a test compares it with the service."""

from __future__ import annotations

import json
from pathlib import Path

from bentos.intent_service.app import OPERATIONS
from bentos.intent_service.openapi import openapi_document

OPENAPI_FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def openapi_text() -> str:
    """The document as it stands in the file, one change a line."""
    return json.dumps(openapi_document(OPERATIONS), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    OPENAPI_FILE.write_text(openapi_text(), encoding="utf-8")
