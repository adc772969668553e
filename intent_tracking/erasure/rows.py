"""Rows out of Parquet files: day tables, landed files, training examples; and out of the tokenized examples."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from intent_tracking.erasure.lines import replacing
from intent_tracking.events.adapters import Adapter, get_adapter
from intent_tracking.events.erased import erased_by
from intent_tracking.events.ingest import decoded
from intent_tracking.tombstones import Tombstones

Judge = Callable[[pa.Table], list[str | None]]
"""For each row the request that erases it, or None."""

RAW_TABLES: Final = ("raw_events", "quarantined_events")
EVENT_TABLE: Final = "validated_events"
_SHOPPER: Final = "shopper_id"
_ABANDONED_SECONDS: Final = 3600.0


def erase_day(path: Path, table: str, day: date, tombstones: Tombstones) -> Counter[str]:
    """Remove the rows of erased shoppers from one partition of a day table; rows by request.

    A table without a column `shopper_id` is about nobody.
    """
    remove_abandoned(path)
    names = pq.read_schema(path).names
    if table in RAW_TABLES:
        return erase_rows(path, lambda rows: _of_records(rows, tombstones))
    if _SHOPPER not in names or not _may_hold(path, tombstones):
        return Counter()
    if table == EVENT_TABLE:
        return erase_rows(path, lambda rows: _of_events(rows, tombstones))
    return erase_rows(path, lambda rows: [tombstones.derived(each, day) for each in rows[_SHOPPER].to_pylist()])


def erase_rows(path: Path, judge: Judge) -> Counter[str]:
    """Remove what `judge` names from a Parquet file, by a new file in its place; rows by request."""
    file = pq.ParquetFile(path)
    table = file.read()
    requests = judge(table)
    counts = Counter(each for each in requests if each is not None)
    if counts:
        kept = table.filter(pa.array([each is None for each in requests], pa.bool_()))
        with replacing(path) as temporary:
            _write(kept, temporary)
    return counts


def erase_examples(path: Path, tokens: Path, tombstones: Tombstones) -> Counter[str]:
    """Remove examples of erased shoppers from `training_examples`, and from `tokenized_sessions` what was made of them.

    The tokens go first and still fit the examples then, so that a training that is about to begin finds both; tokens
    of older examples fit nothing and are removed whole.
    """
    from intent_tracking.modeling.dataset import TokenizedDataset, fingerprint

    remove_abandoned(path)
    examples = pq.ParquetFile(path).read()
    requests = [
        tombstones.derived(shopper, moment.date() if moment is not None else date.min)
        for shopper, moment in zip(examples[_SHOPPER].to_pylist(), examples["time"].to_pylist(), strict=True)
    ]
    counts = Counter(each for each in requests if each is not None)
    if not counts:
        return counts
    kept = examples.filter(pa.array([each is None for each in requests], pa.bool_()))
    if (tokens / "dataset.json").is_file():
        dataset = TokenizedDataset.load(tokens)
        after = fingerprint(kept)
        if dataset.info.fingerprint == fingerprint(examples):
            gone = {
                name
                for name, request in zip(examples["example_id"].to_pylist(), requests, strict=True)
                if request is not None
            }
            dataset.without(gone, fingerprint=after).save(tokens)
        elif dataset.info.fingerprint != after:
            _remove_folder(tokens)
    with replacing(path) as temporary:
        _write(kept, temporary)
    return counts


def erase_landed_rows(path: Path, rows: frozenset[int]) -> None:
    """Remove rows (numbered from 1) from a landed Parquet file; those behind them move up."""
    file = pq.ParquetFile(path)
    table = file.read()
    kept = table.filter(pa.array([number not in rows for number in range(1, table.num_rows + 1)], pa.bool_()))
    with replacing(path) as temporary:
        _write(kept, temporary)


def _of_records(rows: pa.Table, tombstones: Tombstones) -> list[str | None]:
    columns = ["raw", "adapter", "event_time", "received_time"]
    found = []
    for raw, spec, event_time, received_time in zip(*rows.select(columns).to_pydict().values(), strict=True):
        found.append(erased_by(tombstones, _adapter(spec), raw, decoded(raw), event_time, received_time))
    return found


def _adapter(spec: str) -> Adapter | None:
    try:
        return get_adapter(spec)
    except ValueError:
        return None  # its mapping is gone: the record is told by its values alone


def _of_events(rows: pa.Table, tombstones: Tombstones) -> list[str | None]:
    moments: Sequence[list[Any]] = [rows[name].to_pylist() for name in (_SHOPPER, "event_time", "received_time")]
    return [tombstones.event(*each) for each in zip(*moments, strict=True)]


def _may_hold(path: Path, tombstones: Tombstones) -> bool:
    """Whether a shopper of the file is erased at all: of most files this one column is all that is read."""
    shoppers = pq.ParquetFile(path).read(columns=[_SHOPPER])[_SHOPPER]
    return any(
        shopper is not None and tombstones.of(shopper) in tombstones.until
        for shopper in pc.unique(shoppers).to_pylist()
    )


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", row_group_size=65536)


def remove_abandoned(path: Path) -> None:
    """Remove what a killed writer left beside `path`; one of the last hour may still be written."""
    for left in path.parent.glob(f".{path.name}.*"):
        if left.is_file() and time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            left.unlink(missing_ok=True)


def _remove_folder(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
