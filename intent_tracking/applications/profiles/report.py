"""What people read of the segments: a page and pictures a training, and one a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import orjson

from intent_tracking.applications.profiles import pictures
from intent_tracking.applications.profiles.drift import SegmentDrift, segment_drift, shares_by_day
from intent_tracking.applications.profiles.segments import Segment, Segments, Trait
from intent_tracking.applications.profiles.traits import what_of, words_of
from intent_tracking.tables import DayTable, atomic_directory
from intent_tracking.text.markdown import escaped


def report_folder(root: Path, part: str) -> Path:
    """Below `root` (`Settings.applications`): `part` is the version of the segments, or a day."""
    return root / "profiles" / part


def write_segment_report(root: Path, segments: Segments) -> Path:
    """The page of a training, `segments.md`, with its pictures; its folder. One that is there is not made again."""
    folder = report_folder(root, segments.version)
    if (folder / "segments.md").is_file():
        return folder
    with atomic_directory(folder) as draft:
        files = pictures.segment_pictures(draft, segments)
        lines = [f"# Segments {segments.version}", "", f"![overview]({files[0]})", ""]
        for segment in sorted(segments.segments, key=lambda segment: (-segment.share, segment.id)):
            lines += _section(segment)
        if segments.retired:
            lines += ["## Retired", ""]
            lines += [f"- {_both(each.name)} (`{each.id}`), until {each.until}" for each in segments.retired]
            lines.append("")
        (draft / "segments.md").write_text("\n".join(lines), encoding="utf-8")
    return folder


def write_day_report(root: Path, table: DayTable, segments: Segments, day: date) -> SegmentDrift:
    """The drift of a day as `drift.json` and `drift.md`, with the shares of the last 30 days as a picture."""
    drift = segment_drift(table, day)
    with atomic_directory(report_folder(root, day.isoformat())) as draft:
        (draft / "drift.json").write_bytes(orjson.dumps(drift.as_document(), option=orjson.OPT_INDENT_2))
        shares = shares_by_day(table, day)
        lines = [f"# Segments on {day}", ""]
        if shares:
            lines += [f"![shares]({pictures.days(draft, shares, segments)})", ""]
        lines += _drift_lines(drift, segments)
        (draft / "drift.md").write_text("\n".join(lines), encoding="utf-8")
    return drift


def _both(words: Mapping[str, str]) -> str:
    """English and Chinese. Names hold brands and categories, and those come from browsers too."""
    return f"{escaped(words['en'])} / {escaped(words['zh'])}"


def _section(segment: Segment) -> list[str]:
    return [
        f"## {_both(segment.name)}",
        "",
        f"`{segment.id}`, {segment.share:.1%} of the shoppers, since {segment.since}.",
        "",
        f"![{segment.id}](segment-{segment.id}.png)",
        "",
        *(f"- {_in_words(trait)}" for trait in segment.traits),
        "",
    ]


def _in_words(trait: Trait) -> str:
    said = _both(words_of(trait.trait, trait.level, trait.label))
    if trait.level == "likes":
        return f"{said}: {trait.value:.1%} of them, {trait.typical:.1%} of the shop"
    what = what_of(trait.trait)["en"]
    return f"{said}: {what} {trait.value:g}, shop {trait.typical:g} (`{trait.trait}`)"


def _drift_lines(drift: SegmentDrift, segments: Segments) -> list[str]:
    def shown(identifier: str) -> str:
        name = segments.name_of(identifier)
        return _both(name) if name else identifier

    def before(name: str) -> str:
        return f"{drift.shares_before.get(name, 0):.1%}" if drift.before else "–"

    lines = [
        "| segment | share | a week before |",
        "|---|---|---|",
        *(
            f"| {shown(name)} | {drift.shares.get(name, 0):.1%} | {before(name)} |"
            for name in {**drift.shares, **drift.shares_before}
        ),
        "",
    ]
    if drift.psi is None or drift.stayed is None:
        lines.append(f"{drift.shoppers} shoppers; there is no week before to compare with.")
    else:
        lines.append(
            f"{drift.shoppers} shoppers. Beside {drift.before}: population stability index {drift.psi:.3f} "
            f"({drift.reading}); {drift.stayed:.1%} of the {drift.common} shoppers of both days stayed where they were."
        )
        if drift.is_learned_again:
            lines += ["", "The segments were learned again in between: the shoppers did not move alone."]
        lines += ["", "| from | to | shoppers |", "|---|---|---|"] if drift.moves else []
        lines += [f"| {shown(move.was)} | {shown(move.now)} | {move.shoppers} |" for move in drift.moves]
    return [*lines, ""]
