"""Files that are either old or new, never half: atomic writes and day-partitioned Parquet tables."""

from __future__ import annotations

import csv
import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset


def _sync(path: Path) -> None:
    """Bring a folder's names, or a file's content, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_file(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it over `path`, on error remove it.

    Only the owner reads it until it is renamed; then it has `mode`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def where_not_utf8(path: Path) -> str:
    """The first line of the file that is not UTF-8, and the remedy: a decoder counts bytes, from where it last read."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f"line {number} is not UTF-8; save the file as UTF-8"
    return "it was not UTF-8 and now is; read it again"


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` so that a reader sees the old content or the new one."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# OWASP, CSV injection: a cell that begins like this is a formula to a spreadsheet. The apostrophe says that it is text.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_TEXT: Final = "'"


def write_csv(
    path: Path,
    names: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    mode: int = 0o640,
    *,
    verbatim: Collection[str] = (),
) -> None:
    """Write `rows` as UTF-8 CSV atomically; None is an empty cell, and no text in it is taken for a formula.

    A text that a spreadsheet would compute gets an apostrophe in front, and so does one that begins with an apostrophe,
    so that whoever takes one away has what stood there. Columns in `verbatim` are written as they are: ids that a
    machine joins by, and that no stranger chose.
    """
    with atomic_file(path, mode) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([row[name] if name in verbatim else _guarded(row[name]) for name in names] for row in rows)


def _guarded(value: Any) -> Any:
    return f"{_TEXT}{value}" if isinstance(value, str) and value.startswith((*_FORMULA, _TEXT)) else value


@contextmanager
def locked(lock_file: Path) -> Iterator[None]:
    """Hold the lock of writers that read before they write; the kernel frees it when the holder dies."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`, on error it is removed.

    Everyone may read what is in it then, whatever mode the files were made with.

    What was written is on the disk before the folder takes its place. On Linux a folder that is there is exchanged in
    one step, so that a reader, and whoever comes after a kill, finds the old one or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):
            # safetensors makes files that their owner alone reads: another user serves what this one trained.
            file.chmod(0o755 if file.is_dir() else 0o644)
        _sync_tree(temporary)
        if not path.exists():
            temporary.replace(path)
        elif not _exchange(temporary, path):
            _replace_by_two_renames(temporary, path)
        _sync(path.parent)
    finally:
        # After an exchange this is the old folder.
        shutil.rmtree(temporary, ignore_errors=True)


def require_replaceable(path: Path, files: Collection[str]) -> None:
    """Nothing where `atomic_directory(path)` erases none but `files` (relative to `path`); asked before long work.

    Raises:
        FileExistsError: something else lies there.
    """
    found: str | None = None
    if path.is_dir():
        inside = (each for each in path.rglob("*") if each.is_symlink() or not each.is_dir())
        found = next((name for each in inside if (name := each.relative_to(path).as_posix()) not in files), None)
    elif path.exists():
        found = "a file"
    if found is not None:
        raise FileExistsError(f"{path}: holds {found}, which would be erased; give a folder that is new or empty")


def require_writable(target: Path) -> None:
    """Nothing where `target` may be written: asked before work whose result would be lost for want of a place.

    Raises:
        OSError: nothing can be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            return
    except OSError as error:
        raise OSError(f"{target}: no file can be written there; name a file in a folder that is yours") from error


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            if file.is_file() and not file.is_symlink():
                _sync(file)
        _sync(Path(parent))


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# No such call in this kernel, or one that this file system does not know.
_CANNOT_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False where the system cannot (renameat2(2), Linux 3.15, glibc 2.28).

    Raises:
        OSError: the system can, and refused.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _replace_by_two_renames(new: Path, path: Path) -> None:
    """Where folders cannot be exchanged: a full one cannot be renamed over, so the old one is parked first.

    An error in between brings the old one back; only a kill there leaves `path` missing, with the old folder parked
    beside it as `.<name>.old.*/old`.
    """
    parked = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    try:
        path.replace(parked / "old")
        try:
            new.replace(path)
        except OSError:
            (parked / "old").replace(path)
            raise
    finally:
        if path.exists():
            shutil.rmtree(parked, ignore_errors=True)


ROW_GROUP_ROWS = 65536
"""Rows of a Parquet row group: what a reader holds at a time."""


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

    def row_count(self, day: date) -> int:
        """Rows of `day`, by the footer of its file; 0 where it was never written."""
        return sum(int(pq.read_metadata(path).num_rows) for path in self.paths([day]))

    def write(self, day: date, table: pa.Table) -> None:
        """Replace the partition of `day` atomically.

        Raises:
            ValueError: the columns of `table` are not those of the schema.
        """
        if table.column_names != self.schema.names:
            missing = sorted(set(self.schema.names) ^ set(table.column_names))
            raise ValueError(f"{self.name}[{day}]: columns differ from the schema in {missing or 'their order'}")
        with atomic_file(self.path(day)) as temporary:
            pq.write_table(table.cast(self.schema), temporary, compression="zstd", row_group_size=ROW_GROUP_ROWS)

    def write_batches(self, day: date, batches: Iterable[pa.RecordBatch]) -> int:
        """`write`, of a day that need not fit in memory: each batch becomes a row group; the rows written.

        Raises:
            ValueError: the columns of a batch are not those of the schema.
        """
        rows = 0
        with (
            atomic_file(self.path(day)) as temporary,
            pq.ParquetWriter(temporary, self.schema, compression="zstd") as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows

    def read(self, days: Sequence[date], columns: list[str] | None = None) -> pa.Table:
        """Rows of `days` in the order given; a day that was never written has no rows."""
        schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        # ParquetFile, not read_table: the latter adds the folder name `day=...` as a column.
        tables = [pq.ParquetFile(path).read(columns=columns) for path in self.paths(days)]
        return pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in tables)])

    def dataset(self, days: Sequence[date]) -> Dataset:
        """Rows of `days`, to be read a batch at a time; a day that was never written has no rows."""
        from pyarrow.dataset import dataset

        paths = [str(path) for path in self.paths(days)]
        return dataset(paths, self.schema, format="parquet") if paths else dataset(self.schema.empty_table())


def streamed(rows: Dataset, columns: list[str], chosen: pc.Expression | None = None) -> Iterator[pa.RecordBatch]:
    """`columns` of the `chosen` rows, a batch at a time and one file after the other.

    A scan of all files at once reads far ahead of whoever takes its batches slowly, up to a gigabyte.
    """
    for file in rows.get_fragments():
        yield from file.to_batches(schema=rows.schema, columns=columns, filter=chosen, batch_size=8192)
