from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from intent_tracking.features.catalogue import FEATURES
from intent_tracking.features.derived import DERIVED_VIEWS, USER_ITEMS
from intent_tracking.features.online import OnlineViews
from intent_tracking.features.schema import views

pytestmark = pytest.mark.unit

DAY = date(2026, 3, 9)


def test_names_stand_for_one_thing_each() -> None:
    tables = [view.table for view in DERIVED_VIEWS]
    names = [view.name for view in DERIVED_VIEWS] + list(views())
    fields = [field.name for view in DERIVED_VIEWS for field in view.fields] + [feature.name for feature in FEATURES]
    for each in (tables, names, fields):
        assert len(set(each)) == len(each)


@pytest.mark.parametrize("view", DERIVED_VIEWS)
def test_rows_of_a_day_hold_at_its_end_in_the_order_of_the_keys(view) -> None:
    values = {field.name: ["b", "a"] if field.dtype == "string" else [2, 1] for field in view.fields}
    table = view.rows(DAY, ["u2", "u1"], values)
    assert table.schema == view.schema
    first = table.to_pylist()[0]
    assert (first["shopper_id"], first["event_timestamp"]) == ("u1", datetime(2026, 3, 10, tzinfo=UTC))
    assert first[view.fields[0].name] == "a"
    assert view.rows(DAY, [], {field.name: [] for field in view.fields}).schema == view.schema


def test_rows_that_are_not_as_declared_are_refused() -> None:
    with pytest.raises(ValueError, match=r"user_items: the fields are \['items'\], given were \['item'\]"):
        USER_ITEMS.rows(DAY, ["u1"], {"item": ["[]"]})
    with pytest.raises(ValueError, match="shopper_id comes more than once on 2026-03-09"):
        USER_ITEMS.rows(DAY, ["u1", "u1"], {"items": ["[]", "[]"]})
    with pytest.raises(ValueError, match="items"):
        USER_ITEMS.rows(DAY, ["u1"], {"items": [None]})


def test_where_there_is_no_store_nothing_is_stored(tmp_path: Path) -> None:
    with closing(OnlineViews(tmp_path / "online.db")) as reader:
        assert reader.read(USER_ITEMS, "u1", datetime(2026, 3, 10, tzinfo=UTC)) is None
        with pytest.raises(ValueError, match="no time zone"):
            reader.read(USER_ITEMS, "u1", datetime(2026, 3, 10))  # noqa: DTZ001
