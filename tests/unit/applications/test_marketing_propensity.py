"""The propensity model: no look ahead, chosen before it is measured, and its file is all there is of it."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from intent_tracking.applications.artifacts import APPLICATION_KINDS, PROPENSITY_MODEL, golden_differences
from intent_tracking.applications.marketing.history import end_of, history
from intent_tracking.applications.marketing.propensity import PropensityModel
from intent_tracking.applications.marketing.propensity_features import (
    FEATURES,
    OUTCOME_DAYS,
    bought_after,
    snapshot,
    snapshots,
)
from intent_tracking.applications.marketing.propensity_training import (
    PropensityError,
    cut_offs,
    train_propensity,
)
from intent_tracking.artifact import ArtifactError
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.tables import DayTable
from tests.fakes.shop_events import event_row, table

pytestmark = pytest.mark.unit

FIRST, LAST = date(2026, 1, 1), date(2026, 6, 10)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def shop(root: Path, seed: int, *, telling: bool = True) -> DayTable:
    """160 shoppers; each has an own rate of orders, or where nothing is `telling` all buy by a die of the day."""
    draw = random.Random(seed)
    rows = []
    for number in range(160):
        rate = draw.choice([0.004, 0.05]) if telling else 0.02
        for day in range((LAST - FIRST).days + 1):
            if draw.random() < rate or day == number % 50:
                at = START + timedelta(days=day, seconds=number)
                rows.append(event_row("purchase", at, shopper=f"u{number}", number=day, value=draw.uniform(5, 50)))
    stored = DayTable(root, "validated_events", EVENT_SCHEMA)
    stored.write(FIRST, table(rows))  # which partition a row lies in matters to nobody who reads all
    return stored


def test_each_outcome_is_over_before_the_next_part_begins() -> None:
    days = cut_offs(FIRST, LAST)
    assert days.test + timedelta(days=OUTCOME_DAYS) == LAST
    assert days.validation + timedelta(days=OUTCOME_DAYS) == days.test
    assert max(days.train) + timedelta(days=OUTCOME_DAYS) == days.validation
    assert min(days.train) >= FIRST + timedelta(days=60)
    with pytest.raises(PropensityError, match=r"150 days, 151 are needed"):
        cut_offs(FIRST, FIRST + timedelta(days=149))
    assert cut_offs(FIRST, FIRST + timedelta(days=150)).train


def test_features_know_nothing_of_what_happens_or_arrives_later(tmp_path: Path) -> None:
    day = date(2026, 3, 1)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    before = [
        event_row("purchase", noon - timedelta(days=ago), shopper="ann", number=ago, value=10.0) for ago in (0, 10, 24)
    ]
    after = [
        event_row("purchase", noon + timedelta(days=1), shopper="ann", number=50, value=99.0),
        event_row("purchase", noon - timedelta(days=2), shopper="ann", number=51, received=noon + timedelta(days=1)),
        event_row("purchase", noon + timedelta(days=1), shopper="late", number=52),
    ]
    found = []
    for name, rows in (("a", before), ("b", before + after)):
        stored = DayTable(tmp_path / name, "validated_events", EVENT_SCHEMA)
        stored.write(day, table(rows))
        with history(stored.paths([day])) as database:
            found.append(snapshot(database, day))
            bought = bought_after(database, ("ann", "late", "nobody"), end_of(day))
    assert found[0].shoppers == found[1].shoppers == ("ann",)
    assert np.array_equal(found[0].values, found[1].values)
    values = dict(zip(FEATURES, found[0].values[0], strict=True))
    assert values["orders"] == 3
    assert values["spend"] == 30
    assert values["cadence"] == 12
    assert values["days_since_order"] == pytest.approx(0.5)
    assert bought.tolist() == [True, True, False]


def test_money_counts_by_the_typical_order_in_its_currency(tmp_path: Path) -> None:
    # Cause: amounts were added whatever their currency, so that who paid in yen had spent the most.
    day = date(2026, 3, 1)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    euros = [
        event_row("purchase", noon, shopper=f"e{n}", value=amount) for n, amount in enumerate((10.0, 20.0, 20.0, 60.0))
    ]
    yen = [
        event_row("purchase", noon, shopper=f"j{n}", value=amount, currency="JPY")
        for n, amount in enumerate((1500.0, 3000.0, 9000.0))
    ]
    spends = []
    for name, rows in (("one", euros), ("both", euros + yen)):
        stored = DayTable(tmp_path / name, "validated_events", EVENT_SCHEMA)
        stored.write(day, table(rows))
        with history(stored.paths([day])) as database:
            taken = snapshot(database, day)
        spends.append(dict(zip(taken.shoppers, taken.values[:, list(FEATURES).index("spend")], strict=True)))
    assert spends[0] == {"e0": 10.0, "e1": 20.0, "e2": 20.0, "e3": 60.0}
    assert spends[1] == {**spends[0], "j0": 10.0, "j1": 20.0, "j2": 60.0}


def test_visitors_without_a_user_are_left_out(tmp_path: Path) -> None:
    row = event_row("purchase", START, shopper="ann") | {"user_id": None, "shopper_id": "anonymous:d1"}
    stored = DayTable(tmp_path, "validated_events", EVENT_SCHEMA)
    stored.write(FIRST, table([row]))
    with history(stored.paths([FIRST])) as database:
        assert snapshot(database, FIRST).shoppers == ()


def test_a_shop_that_tells_something_gets_a_model_that_loads_as_it_was_and_names_nobody(tmp_path: Path) -> None:
    stored = shop(tmp_path, 1)
    with history(stored.paths(stored.days())) as database:
        trained = train_propensity(database, FIRST, LAST, tmp_path / "applications", draws=80)
        again = train_propensity(database, FIRST, LAST, tmp_path / "applications", draws=80)
    assert trained.measured.auc.low > 0.6
    assert trained.measured.auc.low <= trained.measured.auc.value <= trained.measured.auc.high
    assert trained.measured.calibration.ece < 0.12
    assert again.folder == trained.folder
    assert PROPENSITY_MODEL not in APPLICATION_KINDS
    model = PropensityModel.newest(tmp_path / "applications")
    assert model is not None
    assert PropensityModel.newest(tmp_path / "applications", LAST - timedelta(days=1)) is None
    assert model.weights == trained.model.weights
    assert golden_differences(trained.folder, model.answer) == []
    assert not any(b'"u1' in path.read_bytes() for path in trained.folder.iterdir())
    parts = model.parts(trained.test.taken.values)
    chances = model.probabilities(trained.test.taken.values)
    assert np.allclose(np.log(chances / (1 - chances)), parts.sum(axis=1) + model.weights.bias)

    weights = trained.folder / "weights.json"
    weights.write_bytes(weights.read_bytes().replace(b'"bias":', b'"bias": '))
    with pytest.raises(ArtifactError):
        PropensityModel.newest(tmp_path / "applications")


def test_a_shop_that_tells_nothing_gets_no_model(tmp_path: Path) -> None:
    stored = shop(tmp_path, 2, telling=False)
    with history(stored.paths(stored.days())) as database, pytest.raises(PropensityError, match="chance"):
        train_propensity(database, FIRST, LAST, tmp_path / "applications", draws=80)
    assert PropensityModel.newest(tmp_path / "applications") is None


def test_a_sample_is_of_the_same_shoppers_each_time_and_has_the_share_of_buyers_of_all(tmp_path: Path) -> None:
    # Cause: all shoppers of every cut-off were in memory at once, several times over.
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = [event_row("view_item", noon, shopper=f"u{n}") for n in range(2000)]
    rows += [event_row("purchase", noon + timedelta(days=1), shopper=f"u{n}", number=1) for n in range(0, 2000, 5)]
    stored = DayTable(tmp_path, "validated_events", EVENT_SCHEMA)
    drawn = []
    for given in (rows, rows[::-1], [*rows, event_row("view_item", noon, shopper="one-more")]):
        stored.write(FIRST, table(given))
        with history(stored.paths([FIRST]), most_shoppers=500) as database:
            taken = snapshot(database, noon.date())
            drawn.append(set(taken.shoppers))
            assert 0.15 < bought_after(database, taken.shoppers, end_of(noon.date() - timedelta(days=1))).mean() < 0.25
    assert len(drawn[0]) == 500
    assert drawn[0] == drawn[1]
    assert len(drawn[0] - drawn[2]) <= 1
    with history(stored.paths([FIRST]), most_shoppers=5000) as database:
        everybody = snapshot(database, noon.date())
        assert len(everybody.shoppers) == 2001
        parts = list(snapshots(database, noon.date(), 300))
    assert max(len(part.shoppers) for part in parts) <= 300
    assert tuple(shopper for part in parts for shopper in part.shoppers) == everybody.shoppers
    assert np.array_equal(np.concatenate([part.values for part in parts]), everybody.values)


def test_too_few_buyers_are_said(tmp_path: Path) -> None:
    stored = DayTable(tmp_path, "validated_events", EVENT_SCHEMA)
    stored.write(FIRST, table([event_row("purchase", START, shopper="ann")]))
    with history(stored.paths([FIRST])) as database, pytest.raises(PropensityError, match="0 shoppers bought"):
        train_propensity(database, FIRST, LAST, tmp_path / "applications")
