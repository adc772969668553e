"""The script that a shop's pages load: `snippet.js`, as a file in memory with the headers that pages elsewhere need."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

SNIPPET_PATH: Final = "/snippet.js"
MEDIA_TYPE: Final = "text/javascript"


class Snippet:
    """Read once at start."""

    def __init__(self) -> None:
        self._content = Path(__file__).with_name("snippet.js").read_bytes()
        self._headers = {
            "ETag": f'"{hashlib.sha256(self._content).hexdigest()[:20]}"',
            "Cache-Control": "public, max-age=3600",
            # Loaded by the pages of a shop, which have another origin.
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }

    def answer(self, request: Request) -> Response:
        """The script, or 304 where the browser has it."""
        if self._headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers, media_type=MEDIA_TYPE)
