"""Log files brought into the home: looked at, copied below `landing/<source>/`, and their format written down."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from intent_tracking.events.adapters import get_adapter
from intent_tracking.events.adapters.base import UNREADABLE, require_whole
from intent_tracking.events.adapters.mapping import mapping_path
from intent_tracking.events.sources import (
    LogFile,
    Received,
    SourceConfig,
    adapter_spec,
    is_log,
    read_source,
    write_source,
)
from intent_tracking.tables import atomic_file


@dataclass(frozen=True)
class Landed:
    """What `land` did: the files now in the landing folder, and those of them that were there already."""

    files: tuple[Path, ...]
    unchanged: tuple[Path, ...]


def land(
    files: Sequence[Path],
    source: str,
    adapter: str,
    *,
    home: Path,
    mapping: str | None = None,
    received: Received = "file_date",
) -> Landed:
    """Copy log files into `landing/<source>/` and write its `source.yaml`. A file landed before is left as it is.

    Raises:
        ValueError: the source exists with another format, a file is damaged, its name has no date where `received`
            needs it or is taken by other content, or it lacks a column that the mapping names. Nothing is landed then.
    """
    folder = home / "landing" / source
    if not source or source != Path(source).name or source.startswith(".") or source == "service":
        raise ValueError(f"{source!r} is no name for a source: use letters, digits and '-'; 'service' is taken")
    own_mapping = _mapping_to_copy(adapter, mapping)
    config = SourceConfig(
        adapter="columns" if own_mapping else adapter,
        mapping=own_mapping.name if own_mapping else mapping,
        received=received,
    )
    reader = get_adapter(f"columns:{own_mapping}" if own_mapping else adapter_spec(config, folder))
    if (folder / "source.yaml").is_file() and (there := read_source(folder)) != config:
        raise ValueError(
            f"source {source} already has {_in_words(there)}, not {_in_words(config)}: take another --source, or the "
            "same format"
        )
    targets = [(path, folder / path.name) for path in files]
    for path, target in targets:
        _check_landing(path, target, source, config)
        reader.read(path)  # looks at the file as a whole; its records are not asked for
    if own_mapping:
        _copy(own_mapping, folder / own_mapping.name)
    write_source(folder, config)
    unchanged = [target for _, target in targets if target.exists()]
    for path, target in targets:
        if not target.exists():
            _copy(path, target)
    return Landed(files=tuple(target for _, target in targets), unchanged=tuple(unchanged))


def _in_words(config: SourceConfig) -> str:
    return ", ".join(f"{name} {value}" for name, value in config.model_dump(exclude_none=True).items())


def _mapping_to_copy(adapter: str, mapping: str | None) -> Path | None:
    """The user's own mapping file, which must travel with the logs; a shipped one is found by its name."""
    name = adapter.removeprefix("columns:") if adapter.startswith("columns:") else mapping
    return path if name and (path := mapping_path(name)) == Path(name) else None


def _check_landing(path: Path, target: Path, source: str, config: SourceConfig) -> None:
    if not is_log(path):
        raise ValueError(f"{path}: not a log file (.jsonl, .csv or .tsv, each also .gz, or .parquet)")
    if config.received == "file_date" and LogFile(path, source, path.name, "", "file_date").arrival is None:
        raise ValueError(
            f"{path}: its name does not begin with the arrival date (YYYY-MM-DD); rename it, or say when its records "
            "arrived: --received event_time (archive) or --received field"
        )
    try:
        require_whole(path)
    except UNREADABLE as error:
        raise ValueError(f"{path}: cannot be read: {error}; nothing was landed, give the whole file again") from error
    if target.exists() and not filecmp.cmp(path, target, shallow=False):
        raise ValueError(f"{target} was landed before with other content: give the new file another name")


def _copy(path: Path, target: Path) -> None:
    with atomic_file(target) as temporary:
        shutil.copyfile(path, temporary)
