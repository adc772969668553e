"""Where logs come from: the folders of `landing/`, each with its `source.yaml`, and the event log of the service."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intent_tracking.events.problems import problems_in_words
from intent_tracking.events.segment_log import segments
from intent_tracking.tables import atomic_write_text

SOURCE_FILE: Final = "source.yaml"
SERVICE_SOURCE: Final = "service"
LOG_SUFFIXES: Final = (".jsonl", ".json", ".ndjson", ".log", ".csv", ".tsv", ".parquet")
_FILE_DATE: Final = re.compile(r"^(\d{4}-\d{2}-\d{2})")

Received = Literal["file_date", "event_time", "field"]


class SourceConfig(BaseModel):
    """`source.yaml`: the format of a source's logs, and what tells when a record arrived.

    `received`: `file_date` is the date in the file's name; `event_time` takes the event's own time (archives); `field`
    takes the record's own received time and falls back to the file date.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter: Annotated[str, Field(min_length=1)] = "native"
    mapping: str | None = None
    received: Received = "file_date"


@dataclass(frozen=True, slots=True)
class LogFile:
    """One log file: `name` is its position in RAW_SCHEMA, `adapter` a spec of `get_adapter`."""

    path: Path
    source: str
    name: str
    adapter: str
    received: Received
    is_segment: bool = False

    @property
    def arrival(self) -> date | None:
        """The arrival date in the file's name; `None` where it has none."""
        found = _FILE_DATE.match(self.path.name)
        try:
            return date.fromisoformat(found[1]) if found else None
        except ValueError:
            return None


def is_log(path: Path) -> bool:
    """Whether a file is a log by its name; hidden files are still being written."""
    name = path.name.removesuffix(".gz")
    return path.is_file() and not name.startswith(".") and name.endswith(LOG_SUFFIXES)


def read_source(folder: Path) -> SourceConfig:
    """The configuration of a landing folder.

    Raises:
        ValueError: `source.yaml` is missing or wrong; the message says what to write.
    """
    path = folder / SOURCE_FILE
    if not path.is_file():
        raise ValueError(f"{path} is missing: write for example 'adapter: native' and 'received: file_date' into it")
    try:
        return SourceConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(problems_in_words(error))
        raise ValueError(f"{path}: {wrong}") from error


def write_source(folder: Path, config: SourceConfig) -> None:
    """Write `source.yaml` atomically."""
    atomic_write_text(folder / SOURCE_FILE, yaml.safe_dump(config.model_dump(exclude_none=True), sort_keys=False))


def adapter_spec(config: SourceConfig, folder: Path) -> str:
    """The spec that `get_adapter` takes: a mapping file of the source's own folder comes before a shipped one."""
    if config.adapter != "columns":
        return config.adapter
    if config.mapping is None:
        raise ValueError(f"{folder / SOURCE_FILE}: adapter columns needs 'mapping: <name or file.yaml>'")
    own = folder / config.mapping
    return f"columns:{own if own.is_file() else config.mapping}"


def log_files(home: Path) -> list[LogFile]:
    """Every log file under `home`, ordered by source and name.

    Raises:
        ValueError: a source is not configured, or a file has no date in its name where its source says `file_date`.
    """
    found: list[LogFile] = []
    landing = home / "landing"
    folders = sorted(path for path in landing.iterdir() if path.is_dir()) if landing.is_dir() else []
    for folder in folders:
        paths = sorted(path for path in folder.iterdir() if is_log(path))
        if not paths:
            continue
        config = read_source(folder)
        spec = adapter_spec(config, folder)
        for path in paths:
            file = LogFile(path, folder.name, f"{folder.name}/{path.name}", spec, config.received)
            if config.received == "file_date" and file.arrival is None:
                raise ValueError(
                    f"{path}: its name does not begin with the arrival date (YYYY-MM-DD); rename it, or write "
                    f"'received: event_time' (archive) or 'received: field' into {folder / SOURCE_FILE}"
                )
            found.append(file)
    for segment in segments(home / "event_log"):
        name = f"{SERVICE_SOURCE}/{segment.name}"
        found.append(LogFile(segment, SERVICE_SOURCE, name, "native", "field", is_segment=True))
    return found
