"""What a release may name beside the intent model, and how each is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bentos.intent_service.releases import Application

LOADERS: Final[Mapping[str, Callable[[Path], Application]]] = {}
