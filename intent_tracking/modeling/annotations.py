"""Labels by people: annotation records of messages, sessions and free utterances, and labelled CSV files."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from intent_tracking.events.contract import Scene
from intent_tracking.modeling.multi_label import names_in
from intent_tracking.modeling.prediction import LABEL_SEPARATOR, OUT_OF_SCOPE_LABEL
from intent_tracking.sessions.vocabulary import scene_token
from intent_tracking.tables import where_not_utf8
from intent_tracking.text.cleaning import MAX_CHARACTERS, clean
from intent_tracking.text.language import Language

REQUIRED_COLUMNS = ("text", "intent")
OPTIONAL_COLUMNS = ("scene", "language", "slots")
# How like a name another must be to pass for a slip of the pen: `slot`, `labguage`, not `source`.
_ALIKE = 0.8
# The same for names of several words: `eventId`, `sesion_id`, not `session`, `event_kind` or `annotated_by`.
_ALIKE_LONG = 0.9


class AnnotationError(ValueError):
    """A labelled file cannot be read; the message names file, line and column, and what to write there."""


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Slot(BaseModel):
    """Key information marked by a person: characters [start, end) of the text as it was written, and their value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    start: int = Field(ge=0)
    end: int
    value: str | None = None

    @model_validator(mode="after")
    def _has_characters(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"slot {self.name!r}: end {self.end} must be larger than start {self.start}")
        return self


def _apart(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    for one, other in pairwise(sorted(slots, key=lambda slot: slot.start)):
        if other.start < one.end:
            raise ValueError(
                f"slot {other.name!r} at {other.start}:{other.end} overlaps {one.name!r} at {one.start}:{one.end}; "
                "mark each character once"
            )
    return slots


def _label(intent: str) -> str:
    """The one way to write a label or several: `b | a` is `a|b`, as predictions write it."""
    if len(intent.strip().splitlines()) > 1:
        raise ValueError(f"{intent.strip()!r} has several lines; is a quote there not closed?")
    if not intent.replace(LABEL_SEPARATOR, "").strip():
        raise ValueError("is empty; give a label, `oos` for none of them")
    if LABEL_SEPARATOR in intent:
        return LABEL_SEPARATOR.join(names_in(intent)) or OUT_OF_SCOPE_LABEL
    return intent.strip()


def _scene(written: str | None) -> str | None:
    scene = (written or "").strip()
    if scene:
        scene_token(scene)
    return scene or None


def _language(written: str) -> Language | None:
    """The language of a tag: one such as `zh-CN` or `en_GB` names a country too."""
    spoken = re.split("[-_]", written.strip().lower())[0]
    if spoken not in ("", "en", "zh"):
        raise ValueError(f"{written!r} is no tag of en or zh")
    return "zh" if spoken == "zh" else "en" if spoken == "en" else None


def _worded(text: str | None) -> str | None:
    """`text` as it was written; None where the model would read no words: one of invisible characters has none."""
    # What cleaning leaves of a text, `free_text` never takes away altogether.
    return text if text and clean(text) else None


# The records of a file have the same few lists of names.
@lru_cache(maxsize=256)
def _misspelt(given: tuple[str, ...], known: tuple[str, ...]) -> str | None:
    """What is wrong with a name that is nearly one of `known` that is not given: nobody would read it."""
    absent = [name for name in known if name not in given]
    for name in given:
        for meant in [] if name in known else absent:
            if get_close_matches(name.strip().lower(), [meant], 1, _ALIKE_LONG if "_" in meant else _ALIKE):
                return f"{name!r} would not be read; name it {meant}, or less like it"
    return None


class Annotation(BaseModel):
    """One label: of the message `event_id`, of the session `session_id`, or of a free utterance `text`.

    With an `event_id`, `text` may repeat the message as it was written; slots are offsets in it. Without slots nobody
    has looked for any, an empty list says that there are none. Several intents are written `a|b`, in any order. An
    empty language or scene, and a text without words, are as if they were not given. Other fields are left alone,
    unless they are nearly named as one of these.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: str | None = None
    session_id: str | None = None
    text: Annotated[str | None, AfterValidator(_worded)] = None
    intent: Annotated[str, AfterValidator(_label)]
    language: Language | None = None
    scene: Annotated[str | None, AfterValidator(_scene)] = None
    slots: Annotated[tuple[Slot, ...], AfterValidator(_apart)] | None = None
    annotated_at: Annotated[datetime, AfterValidator(_in_utc)]

    @model_validator(mode="before")
    @classmethod
    def _is_spelt_well(cls, record: Any) -> Any:
        if isinstance(record, Mapping) and (misspelt := _misspelt(tuple(map(str, record)), tuple(cls.model_fields))):
            raise ValueError(f"field {misspelt}")
        return record

    @field_validator("language", mode="before")
    @classmethod
    def _without_country(cls, written: Any) -> Any:
        return _language(written) if isinstance(written, str) else written

    @model_validator(mode="after")
    def _points_at_something(self) -> Self:
        if self.event_id is None and self.session_id is None and self.text is None:
            raise ValueError("give `event_id`, `session_id` or `text`, one with words")
        return self


def read_annotations(paths: Iterable[Path]) -> Iterator[Annotation]:
    """Read `annotations/*.jsonl`, one record a line.

    Raises:
        AnnotationError: a line is not an annotation; file, line and field are named.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8-sig") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _checked(line, f"{path} line {number}")
        except UnicodeDecodeError as error:
            raise AnnotationError(f"{path} {where_not_utf8(path)}") from error


def _checked(line: str, where: str) -> Annotation:
    try:
        return Annotation.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "record"
        raise AnnotationError(f"{where}, {field}: {first['msg']}") from error


class LabelledText(BaseModel):
    """One row of a labelled CSV file; slots that are None were not marked by anybody, () says that there are none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    intent: str
    scene: str = Scene.CUSTOMER_SERVICE
    language: Language | None = None
    slots: tuple[Slot, ...] | None = None


def read_labelled_csv(path: Path) -> list[LabelledText]:
    """Read columns `text,intent` and, if they are there, `scene,language,slots` (JSON list of name, start, end).

    Several intents of one text are written `a|b`. A scene is one of the contract's or a shop's own. Other columns are
    left alone. An empty optional cell is as if the column were not there: nobody has marked the slots of that text,
    which `[]` says to have none. Slots are offsets in the cell as it stands; blanks around the text are cut off both.

    Raises:
        AnnotationError: the file, a column or a cell is not as described; file, line and column are named.
    """
    if not path.is_file():
        raise AnnotationError(f"{path}: is no file; give a CSV with the columns text,intent")
    rows: list[LabelledText] = []
    # A record may have several lines, and empty ones before it: it is named by its first one.
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _check_header(header, path)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    rows.append(_labelled(header, cells, f"{path} line {line}"))
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} {where_not_utf8(path)}") from error
    except csv.Error as error:
        remedy = "is a quote there not closed, or not doubled?"
        # The limit is not raised: it is one for the whole process, and of so long a text little would be read.
        if "field limit" in str(error):
            remedy = (
                f"is a quote there not closed? If not, shorten the text: the model reads {MAX_CHARACTERS} characters"
            )
        raise AnnotationError(f"{path} line {line}: not readable as CSV: {error}; {remedy}") from error
    if not rows:
        raise AnnotationError(f"{path}: has no rows under its header; give labelled texts")
    return rows


_SLOTS = TypeAdapter(Annotated[tuple[Slot, ...], AfterValidator(_apart)])


def _check_header(header: list[str], path: Path) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        found = ",".join(header) or "nothing"
        # A spreadsheet of a country with decimal commas writes them so.
        remedy = "name it so" if ";" not in found and "\t" not in found else "separate the columns by commas"
        raise AnnotationError(f"{path} line 1: column {missing[0]!r} is missing (found {found}); {remedy}")
    known = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
    if misspelt := _misspelt(tuple(header), known):
        raise AnnotationError(f"{path} line 1: column {misspelt}")
    twice = [name for name, count in Counter(header).items() if count > 1 and name in known]
    if twice:
        raise AnnotationError(f"{path} line 1: column {twice[0]!r} stands there twice; leave one of them")


def _labelled(header: list[str], cells: list[str], where: str) -> LabelledText:
    row = dict(zip(header, cells, strict=False))
    if len(cells) > len(header) or any(name not in row for name in REQUIRED_COLUMNS):
        raise AnnotationError(f"{where}: has not as many cells as the header; quote texts that hold commas")
    broken = [name for name in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS) if "\0" in row.get(name, "")]
    if broken:
        raise AnnotationError(f"{where}, column {broken[0]}: holds a NUL byte; save the file as text in UTF-8")
    cell = row["text"]
    text = cell.strip()
    if _worded(text) is None:
        raise AnnotationError(f"{where}, column text: is empty; remove the line or give the text")
    slots = row.get("slots", "").strip()
    column = "intent"
    try:
        intent = _label(row["intent"])
        column = "scene"
        scene = _scene(row.get("scene")) or Scene.CUSTOMER_SERVICE
        column = "language"
        language = _language(row.get("language", ""))
    except ValueError as error:
        raise AnnotationError(f"{where}, column {column}: {error}") from error
    marked: tuple[Slot, ...] | None = None
    if slots:
        try:
            marked = _SLOTS.validate_python(json.loads(slots))
        except (json.JSONDecodeError, ValidationError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": error.msg}
            place = ".".join(map(str, first["loc"]))
            raise AnnotationError(
                f"{where}, column slots: {place}{': ' if place else ''}{first['msg']}; write JSON such as "
                '[{"name": "order_id", "start": 3, "end": 9}]'
            ) from error
    too_long = [slot for slot in marked or () if slot.end > len(cell)]
    if too_long:
        raise AnnotationError(
            f"{where}, column slots: {too_long[0].name!r} ends at {too_long[0].end}, the text at {len(cell)}"
        )
    return LabelledText(
        text=text,
        intent=intent,
        scene=scene,
        language=language,
        slots=None if marked is None else _within(marked, len(cell) - len(cell.lstrip()), len(text)),
    )


def _within(slots: tuple[Slot, ...], blanks: int, length: int) -> tuple[Slot, ...]:
    """Slots of a cell in its text, of `length`, without the `blanks` before it; one of nothing but blanks is none."""
    edges = [(slot, max(slot.start - blanks, 0), min(slot.end - blanks, length)) for slot in slots]
    return tuple(slot.model_copy(update={"start": start, "end": end}) for slot, start, end in edges if start < end)
