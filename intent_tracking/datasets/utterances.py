"""Readers of the sets of lone utterances: Banking77, CLINC150, Bitext, WANDS queries."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from intent_tracking.datasets.catalogue import DatasetError
from intent_tracking.datasets.rows import OUT_OF_SCOPE, Span, Utterance, UtteranceSet


def read_rows(path: Path, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a delimited file with a header.

    Raises:
        DatasetError: a row has not as many cells as the header.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        for row in reader:
            if None in row or None in row.values():
                raise DatasetError(f"{path} line {reader.line_num}: has not as many cells as the header")
            yield row


def read_banking77(folder: Path) -> UtteranceSet:
    """Banking77 with its official train and test splits; it has no validation split."""
    splits = {
        name: tuple(Utterance(row["text"], row["category"]) for row in read_rows(folder / f"{name}.csv"))
        for name in ("train", "test")
    }
    return UtteranceSet(splits["train"], (), splits["test"])


def read_clinc150(folder: Path) -> UtteranceSet:
    """CLINC150, the full set, each split with its out-of-scope queries (label `oos`)."""
    found = json.loads((folder / "data_full.json").read_text(encoding="utf-8"))

    def rows(name: str) -> tuple[Utterance, ...]:
        pairs = [*found[name], *((text, OUT_OF_SCOPE) for text, _ in found[f"oos_{name}"])]
        return tuple(Utterance(text, intent) for text, intent in pairs)

    return UtteranceSet(rows("train"), rows("val"), rows("test"))


def read_bitext(folder: Path) -> UtteranceSet:
    """Bitext customer support with its entities. Made from templates and saturated: no measure of quality."""

    def rows(name: str) -> tuple[Utterance, ...]:
        return tuple(
            Utterance(row["utterance"], row["intent"], spans=_entity(row)) for row in read_rows(folder / f"{name}.csv")
        )

    return UtteranceSet(rows("train"), rows("dev"), rows("test"))


def _entity(row: dict[str, str]) -> tuple[Span, ...]:
    # `entity_value` may be a canonical form ("Platinum" for "platinum"); the offsets are those of the words.
    if not row["entity_type"]:
        return ()
    return (Span(row["entity_type"], int(row["start_offset"]), int(row["end_offset"])),)


def read_wands_queries(folder: Path) -> tuple[Utterance, ...]:
    """Search queries with the class of product that they mean; those without one are left out."""
    rows = read_rows(folder / "query.csv", "\t")
    return tuple(Utterance(row["query"], row["query_class"], scene="search") for row in rows if row["query_class"])
