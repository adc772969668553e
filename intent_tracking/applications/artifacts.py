"""What applications learn: a folder `<home>/applications/<kind>/<version>` with a manifest, as the intent model has.

Written once and never changed: equal input gives an equal version. `golden.jsonl` holds requests with the answers that
the artifact must give wherever it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

import intent_tracking
from intent_tracking.artifact import MANIFEST, ArtifactError, Manifest, verify, write_manifest
from intent_tracking.tables import atomic_directory, atomic_write_text

logger = logging.getLogger(__name__)

ITEM_INDEX: Final = "item_index"
ANSWER_INDEX: Final = "answer_index"
USER_SEGMENTS: Final = "user_segments"
RISK_MODEL: Final = "risk_model"
APPLICATION_KINDS: Final = (ITEM_INDEX, ANSWER_INDEX, USER_SEGMENTS, RISK_MODEL)
"""What the service answers from: the kinds that a release may name."""
PROPENSITY_MODEL: Final = "propensity_model"
"""Read by the daily batch alone, so no part of the release."""

GOLDEN: Final = "golden.jsonl"
_REFUSED: Final = ".refused"
_SHOWN_DIGITS: Final = 12
# Sums of floats end differently on another processor; an answer is another one beyond this.
_TOLERANCE: Final = 1e-3

Document = Mapping[str, Any]


@dataclass
class Draft:
    """An artifact that is being written: put its files into `folder`, then its `metrics` and `golden` answers here."""

    folder: Path
    metrics: dict[str, float] = field(default_factory=dict)
    golden: list[tuple[Document, Document]] = field(default_factory=list)


def fingerprint_of(*parts: bytes | str) -> str:
    """Hexadecimal sha256 over `parts`, each by its length, so that none runs into the next."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()


def content_of(table: pa.Table) -> bytes:
    """The rows and the schema of `table` as bytes, for `fingerprint_of`: equal tables give equal bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def version_of(kind: str, until: date, fingerprint: str) -> str:
    """The name of the artifact that this input gives: it sorts by day."""
    return f"{kind.replace('_', '-')}-{until:%Y%m%d}-{fingerprint[:_SHOWN_DIGITS]}"


@contextmanager
def new_artifact(root: Path, kind: str, until: date, fingerprint: str) -> Iterator[Draft]:
    """Write `<root>/<kind>/<version>` inside the `with` block; it is there whole, or not at all.

    Args:
        root: `Settings.applications`.
        kind: one of `APPLICATION_KINDS`, or `PROPENSITY_MODEL`.
        until: last UTC day of what was learned from.
        fingerprint: `fingerprint_of` everything that the artifact is made of, settings and code formats included.
    """
    version = version_of(kind, until, fingerprint)
    with atomic_directory(root / kind / version) as folder:
        draft = Draft(folder)
        yield draft
        lines = [orjson.dumps({"request": request, "answer": answer}).decode() for request, answer in draft.golden]
        atomic_write_text(folder / GOLDEN, "".join(f"{line}\n" for line in lines))
        write_manifest(
            folder,
            kind=kind,
            version=version,
            code_version=intent_tracking.__version__,
            dataset_fingerprint=fingerprint,
            trained_until=until.isoformat(),
            metrics=draft.metrics,
        )


def artifact_folder(root: Path, kind: str, until: date, fingerprint: str) -> Path | None:
    """The finished artifact of this input, if there is one: what is there is not made again, unless it is damaged."""
    folder = root / kind / version_of(kind, until, fingerprint)
    if not (folder / MANIFEST).is_file():
        return None
    try:
        verify(folder, kind=kind)
    except ArtifactError as error:
        logger.warning("an artifact is made again: %s", error)
        return None
    return folder


def newest_artifact(root: Path, kind: str, until: date | None = None) -> Path | None:
    """The finished artifact of `kind` with the newest day, the one written last among equals; None where none is.

    With `until` none that learned from a later day. A refused one is none.
    """
    found = [folder for folder in _by_age(root, kind) if not _verdict(folder).exists()]
    if until is not None:
        found = [folder for folder in found if folder.name.rsplit("-", 2)[1] <= f"{until:%Y%m%d}"]
    return next(reversed(found), None)


def judged(folder: Path, reasons: Sequence[str]) -> None:
    """Keep beside the artifact in `folder` why it may not go live; no `reasons`: it may."""
    if reasons:
        atomic_write_text(_verdict(folder), "".join(f"{reason}\n" for reason in reasons))
    else:
        _verdict(folder).unlink(missing_ok=True)


def remove_old_artifacts(root: Path, kind: str, keep: int, live: Collection[Path]) -> list[str]:
    """Remove the artifacts of `kind` but the `keep` newest and those in `live`; the versions that went.

    One is learned each day, and each holds a copy of what the shop has.
    """
    kept = {folder.resolve() for folder in live}
    gone = [folder for folder in _by_age(root, kind)[:-keep] if folder.resolve() not in kept]
    for folder in gone:
        # Without it, a folder of which a part is left is no artifact.
        (folder / MANIFEST).unlink()
        shutil.rmtree(folder)
        judged(folder, ())
    return [folder.name for folder in gone]


def verified(folder: Path, kind: str) -> Manifest:
    """The manifest of `folder`, after a check of every file in it.

    Raises:
        ArtifactError: it is no `kind`, a file is missing or changed, or it has no golden answers.
    """
    manifest = verify(folder, kind=kind)
    if GOLDEN not in manifest.files:
        raise ArtifactError(f"{folder / MANIFEST}: lists no {GOLDEN}; materialize {kind} again")
    return manifest


def golden_differences(
    folder: Path, answer: Callable[[Document], Document], tolerance: float = _TOLERANCE
) -> list[str]:
    """Ask `answer` the golden requests of `folder` and say what comes out otherwise; empty when all is well.

    A number is another one beyond `tolerance`.
    """
    found = []
    for number, line in enumerate((folder / GOLDEN).read_text(encoding="utf-8").splitlines(), start=1):
        case = json.loads(line)
        got = orjson.loads(orjson.dumps(answer(case["request"])))
        place = _difference(case["answer"], got, tolerance)
        if place is not None:
            found.append(f"{folder / GOLDEN}:{number}: {place}")
    return found


def _difference(expected: Any, got: Any, tolerance: float, place: str = "answer") -> str | None:
    """Where two JSON documents differ first, numbers by more than the tolerance."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        if expected.keys() != got.keys():
            return f"{place}: has the fields {sorted(got)}, not {sorted(expected)}"
        inner = (_difference(expected[name], got[name], tolerance, f"{place}.{name}") for name in expected)
        return next((each for each in inner if each is not None), None)
    if _is_list(expected) and _is_list(got):
        if len(expected) != len(got):
            return f"{place}: has {len(got)} entries, not {len(expected)}"
        pairs = enumerate(zip(expected, got, strict=True))
        inner = (_difference(*pair, tolerance, f"{place}[{at}]") for at, pair in pairs)
        return next((each for each in inner if each is not None), None)
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (expected, got))
    same = math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance) if numbers else expected == got
    return None if same else f"{place}: is {got!r}, not {expected!r}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _by_age(root: Path, kind: str) -> list[Path]:
    """The finished artifacts of `kind`, oldest day first, and of a day the one written first."""
    found = [path.parent for path in (root / kind).glob(f"*/{MANIFEST}") if not path.parent.name.startswith(".")]
    return sorted(found, key=lambda folder: (folder.name.rsplit("-", 1)[0], _written(folder)))


def _verdict(folder: Path) -> Path:
    return folder.with_name(folder.name + _REFUSED)


def _written(folder: Path) -> int:
    return (folder / MANIFEST).stat().st_mtime_ns
