"""The training set on disk: which days it covers, and where its files lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from intent_tracking.events.arrival import LOOKBACK_DAYS
from intent_tracking.settings import Settings
from intent_tracking.tables import atomic_file

UNTIL_KEY = "trained_until"


class TrainingWindowError(ValueError):
    """The days asked for cannot be trained on; the message says which can."""


@dataclass(frozen=True)
class TrainingWindow:
    """Days `first` to `last`, both included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """Every day of the window, oldest first."""
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]

    @property
    def end(self) -> datetime:
        """The moment after the last day, UTC."""
        return datetime(self.last.year, self.last.month, self.last.day, tzinfo=UTC) + timedelta(days=1)


def training_window(written: Sequence[date], until: date | None, window_days: int) -> TrainingWindow:
    """The window that ends with `until`, by default with the newest day that no late event can change any more.

    Args:
        written: days of `session_texts` on disk, oldest first.
        until: last day to learn from.
        window_days: length of the window.

    Raises:
        TrainingWindowError: nothing is written, or `until` is younger than the lookback of late events.
    """
    if not written:
        raise TrainingWindowError("session_texts has no day yet: run ingest_job for a range of days first")
    settled = written[-1] - timedelta(days=LOOKBACK_DAYS)
    last = until or settled
    if last > settled:
        raise TrainingWindowError(
            f"until is {last}, but events arrive up to {LOOKBACK_DAYS} days late and the newest ingested day is "
            f"{written[-1]}: give {settled} or earlier, or ingest later days first"
        )
    first = last - timedelta(days=window_days - 1)
    if last < written[0]:
        raise TrainingWindowError(f"no day of session_texts lies in {first} to {last}: the oldest is {written[0]}")
    return TrainingWindow(max(first, written[0]), last)


def examples_path(settings: Settings) -> Path:
    """The one file of `training_examples`."""
    return settings.training_examples


def tokenized_path(settings: Settings) -> Path:
    """The folder of `tokenized_sessions`."""
    return settings.tokenized_sessions


def recipe_path(settings: Settings) -> Path:
    """The file of `recipe_search`."""
    return settings.training / "recipe.json"


def write_examples(settings: Settings, examples: pa.Table, window: TrainingWindow) -> None:
    """Replace `training_examples` atomically; the file says where its window ends."""
    examples = examples.replace_schema_metadata({UNTIL_KEY: window.end.isoformat()})
    with atomic_file(examples_path(settings)) as temporary:
        pq.write_table(examples, temporary, compression="zstd")


def read_examples(settings: Settings) -> pa.Table:
    """The training set.

    Raises:
        FileNotFoundError: it was never made.
    """
    path = examples_path(settings)
    if not path.exists():
        raise FileNotFoundError(f"{path}: materialize training_examples first")
    return pq.ParquetFile(path).read()


def trained_until(examples: pa.Table) -> datetime:
    """The end of the window that `examples` (from `read_examples`) were drawn from, UTC."""
    return datetime.fromisoformat(examples.schema.metadata[UNTIL_KEY.encode()].decode())
