"""A leak between what is learned and what is tested stops the training."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from dagster_project.defs.training.checks import training_examples_unleaked
from dagster_project.defs.training.examples import TrainingWindow, read_examples, trained_until, write_examples
from intent_tracking.modeling.examples import EXAMPLE_SCHEMA
from intent_tracking.settings import Settings

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW = TrainingWindow(date(2026, 3, 1), date(2026, 3, 9))


def example(split: str, shopper: str | None, day: int) -> dict[str, object]:
    row = {"example_id": f"{split}-{shopper}-{day}", "split": split, "shopper_id": shopper}
    return {**dict.fromkeys(EXAMPLE_SCHEMA.names), **row, "time": NOON + timedelta(days=day)}


def checked(tmp_path, *rows: dict[str, object]) -> bool:
    settings = Settings(home=tmp_path)
    write_examples(settings, pa.Table.from_pylist(list(rows), schema=EXAMPLE_SCHEMA), WINDOW)
    return bool(training_examples_unleaked(settings).passed)


def test_later_days_of_other_shoppers_pass(tmp_path):
    assert checked(
        tmp_path,
        example("train", "a", 0),
        example("validation", "a", 3),
        example("test", "b", 5),
        example("test", None, 0),
    )


def test_a_tested_shopper_that_was_learned_from_is_found(tmp_path):
    assert not checked(tmp_path, example("train", "a", 0), example("test", "a", 5))


def test_learning_from_days_that_are_tested_is_found(tmp_path):
    assert not checked(tmp_path, example("train", "a", 6), example("test", "b", 5))


def test_the_file_says_where_its_window_ends(tmp_path):
    checked(tmp_path, example("train", "a", 0))
    assert trained_until(read_examples(Settings(home=tmp_path))) == datetime(2026, 3, 10, tzinfo=UTC)
