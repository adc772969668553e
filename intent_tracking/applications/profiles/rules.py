"""What a shop may decide about its segments, with the values that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from pydantic import Field, model_validator

from intent_tracking.applications.shop_file import Declared, ShopFile


class SegmentRules(Declared):
    """See `rules.yaml`, which says what each is for."""

    fewest: int = Field(ge=2, le=50)
    most: int = Field(ge=2, le=50)
    resamples: int = Field(ge=5, le=500)
    equal_stability: float = Field(ge=0, le=1)
    sample: int = Field(ge=100)
    smallest_share: float = Field(ge=0, lt=0.5)
    shoppers_a_segment: int = Field(ge=2)
    taste_dimensions: int = Field(ge=0, le=64)
    taste_weight: float = Field(ge=0, le=10)
    token_shoppers: int = Field(ge=1)
    tokens: int = Field(ge=10, le=100_000)
    refit_days: int = Field(ge=1)
    same_overlap: float = Field(gt=0, le=1)
    least_stability: float = Field(ge=0, le=1)
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most < self.fewest:
            raise ValueError(f"most ({self.most}) is less than fewest ({self.fewest})")
        return self

    @property
    def shoppers_needed(self) -> int:
        """Fewer shoppers have no segments."""
        return self.most * self.shoppers_a_segment


class RulesError(ValueError):
    """A file of rules holds what it must not."""


_FILE: Final = ShopFile(SegmentRules, Path(__file__).with_name("rules.yaml"), RulesError)


def read_rules(path: Path | None = None) -> SegmentRules:
    """The shipped rules, with what the shop's file at `path` says instead; a missing file says nothing.

    Raises:
        RulesError: the file is no mapping, or a value in it is unknown or out of bounds.
    """
    return _FILE.read_shipped() if path is None else _FILE.read_over(path)
