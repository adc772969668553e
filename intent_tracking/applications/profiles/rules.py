"""What a shop may decide about its segments, with the values that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_SHIPPED = Path(__file__).with_name("rules.yaml")


class SegmentRules(BaseModel):
    """See `rules.yaml`, which says what each is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


def read_rules(path: Path | None = None) -> SegmentRules:
    """The shipped rules, with what the shop's file at `path` says instead; a missing file says nothing.

    Raises:
        RulesError: the file is no mapping, or a value in it is unknown or out of bounds.
    """
    chosen = yaml.safe_load(_SHIPPED.read_text(encoding="utf-8"))
    if path is not None and path.is_file():
        try:
            own = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise RulesError(f"{path}: is not YAML: {error}") from error
        if not isinstance(own, dict):
            raise RulesError(f"{path}: must be a mapping of names to values, as in {_SHIPPED.name}")
        chosen |= own
    try:
        return SegmentRules.model_validate(chosen)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'rules'}: {each['msg']}" for each in error.errors(include_url=False)
        )
        raise RulesError(f"{path or _SHIPPED}: {problems}") from error
