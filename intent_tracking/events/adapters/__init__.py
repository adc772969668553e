"""Readers of log formats. `get_adapter(spec)` names one: native, segment, ga4, snowplow, columns:<mapping>."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from intent_tracking.events.adapters.base import Adapter, Identity, Parsed, SourceRecord, Times
from intent_tracking.events.adapters.columns import ColumnsAdapter
from intent_tracking.events.adapters.ga4 import Ga4Adapter
from intent_tracking.events.adapters.mapping import load_mapping
from intent_tracking.events.adapters.native import NativeAdapter
from intent_tracking.events.adapters.segment import SegmentAdapter
from intent_tracking.events.adapters.snowplow import SnowplowAdapter

ADAPTER_NAMES: Final = ("native", "segment", "ga4", "snowplow", "columns:<mapping>")

__all__ = ["ADAPTER_NAMES", "Adapter", "Identity", "Parsed", "SourceRecord", "Times", "get_adapter"]


@lru_cache(maxsize=64)
def get_adapter(spec: str) -> Adapter:
    """The adapter that `spec` names; `columns:` takes a shipped mapping's name or the path of a YAML file.

    Raises:
        ValueError: no adapter has that name, or the mapping is wrong (the message names the file and the field).
    """
    kind, _, mapping = spec.partition(":")
    match kind:
        case "native" if not mapping:
            return NativeAdapter()
        case "segment" if not mapping:
            return SegmentAdapter()
        case "ga4" if not mapping:
            return Ga4Adapter()
        case "snowplow" if not mapping:
            return SnowplowAdapter()
        case "columns" if mapping:
            return ColumnsAdapter(spec, load_mapping(mapping))
        case _:
            raise ValueError(f"no adapter is called {spec!r}; take one of {', '.join(ADAPTER_NAMES)}")
