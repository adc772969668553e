"""Files that are either old or new, never half: atomic writes and day-partitioned Parquet tables."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it over `path`, on error remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` so that a reader sees the old content or the new one."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`, on error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            # A folder cannot be renamed over a full one: park the old one first, it is removed with the temporary.
            parked = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            path.replace(parked / "old")
            temporary.replace(path)
            shutil.rmtree(parked)
        else:
            temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class DayTable:
    """A table of one Parquet file per UTC day: `<root>/<name>/day=YYYY-MM-DD/part.parquet`.

    The same rows give the same bytes, so re-materializing a partition is visible as no change at all.
    """

    root: Path
    name: str
    schema: pa.Schema

    def path(self, day: date) -> Path:
        """Where the partition of `day` lies, written or not."""
        return self.root / self.name / f"day={day.isoformat()}" / "part.parquet"

    def paths(self, days: Sequence[date]) -> list[Path]:
        """The written partitions among `days`, in the order given."""
        return [path for day in days if (path := self.path(day)).exists()]

    def days(self) -> list[date]:
        """Days that have been written, oldest first."""
        found = (self.root / self.name).glob("day=*/part.parquet")
        return sorted(date.fromisoformat(path.parent.name.removeprefix("day=")) for path in found)

    def write(self, day: date, table: pa.Table) -> None:
        """Replace the partition of `day` atomically.

        Raises:
            ValueError: the columns of `table` are not those of the schema.
        """
        if table.column_names != self.schema.names:
            missing = sorted(set(self.schema.names) ^ set(table.column_names))
            raise ValueError(f"{self.name}[{day}]: columns differ from the schema in {missing or 'their order'}")
        with atomic_file(self.path(day)) as temporary:
            pq.write_table(table.cast(self.schema), temporary, compression="zstd", row_group_size=65536)

    def read(self, days: Sequence[date], columns: list[str] | None = None) -> pa.Table:
        """Rows of `days` in the order given; a day that was never written has no rows."""
        schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        # ParquetFile, not read_table: the latter adds the folder name `day=...` as a column.
        tables = [pq.ParquetFile(path).read(columns=columns) for path in self.paths(days)]
        return pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in tables)])
