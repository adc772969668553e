"""What `feast apply` registers: Feast collects the module-level objects of this file."""

from __future__ import annotations

from definitions import all_objects, model_services

from intent_tracking.settings import load_settings

_settings = load_settings()

# Feast looks at module attributes only, not into lists.
globals().update(
    {
        f"{type(found).__name__}_{found.name}": found
        for found in all_objects(_settings.tables, model_services(_settings.models))
    }
)
