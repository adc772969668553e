from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dagster_project.defs.training.model import version_name
from intent_tracking.modeling.dataset import DatasetInfo
from intent_tracking.modeling.recipe import Recipe

pytestmark = pytest.mark.unit

INFO = DatasetInfo(base_encoder="some/encoder", parent=None, max_tokens=64, fingerprint="f" * 64, features=())
RECIPE = Recipe(epochs=3, batch_size=16, learning_rate=1e-4)


def named(recipe: Recipe | None, seed: int = 0) -> str:
    return version_name(datetime(2026, 3, 2, tzinfo=UTC), INFO, seed, 60.0, recipe)


def test_a_version_is_named_after_its_last_day_and_what_decides_it() -> None:
    names = {named(None), named(None, seed=1), named(RECIPE), named(RECIPE.model_copy(update={"epochs": 4}))}
    assert len(names) == 4
    assert {name.split("-")[0] for name in names} == {"20260301"}
    assert named(RECIPE) == named(RECIPE.model_copy())


def test_a_retry_that_measures_bf16_otherwise_finds_its_version() -> None:
    assert named(RECIPE) == named(RECIPE.model_copy(update={"bf16": True}))
