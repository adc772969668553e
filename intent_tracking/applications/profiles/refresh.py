"""When segments are learned again, and what is live until then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from intent_tracking.applications.artifacts import USER_SEGMENTS, newest_artifact, verified
from intent_tracking.applications.profiles.building import (
    Fitted,
    TooFewShoppersError,
    fit_segments,
    refusal,
    write_segments,
)
from intent_tracking.applications.profiles.rules import SegmentRules
from intent_tracking.applications.profiles.segments import Segments
from intent_tracking.release import component_directory, read_release
from intent_tracking.settings import Settings


@dataclass(frozen=True)
class Refreshed:
    """What a day's look at the segments came to.

    Attributes:
        folder: the artifact that holds from now on; None where there is none.
        fitted: what was learned; None where nothing was due.
        written: whether `folder` is that of what was learned.
        why: in words, what was done or why not.
    """

    folder: Path | None
    fitted: Fitted | None
    written: bool
    why: str


def live_segments(settings: Settings) -> Path | None:
    """The artifact that the release names; while it names none, the newest that was written."""
    release = read_release(settings.release_file)
    component = release.components.get(USER_SEGMENTS) if release else None
    if component is not None:
        return component_directory(settings.release_file, component)
    return newest_artifact(settings.applications, USER_SEGMENTS)


def refresh(
    settings: Settings,
    features: pa.Table,
    tokens: pa.Table,
    rules: SegmentRules,
    day: date,
    *,
    force: bool = False,
    fresh: bool = False,
) -> Refreshed:
    """Learn the segments again where none are there, or those that are live are `refit_days` old.

    What is not better than nothing, or less stable than what is live, is not written, so that nothing takes it for the
    newest.

    Args:
        settings: where things lie.
        features, tokens, rules, day: see `fit_segments`.
        force: learn although nothing is due; the gate holds all the same.
        fresh: learn as if nothing were live: no name is kept, and nothing is compared.

    Raises:
        ArtifactError: the live segments cannot be read; `fresh` goes without them.
    """
    folder = None if fresh else live_segments(settings)
    live = verified(folder, USER_SEGMENTS) if folder else None
    if live is not None and live.trained_until is not None and not force:
        age = (day - date.fromisoformat(live.trained_until)).days
        if age < rules.refit_days:
            return Refreshed(folder, None, False, f"{live.version} is {age} days old; due after {rules.refit_days}")
    try:
        fitted = fit_segments(features, tokens, rules, day, Segments.load(folder) if folder else None)
    except TooFewShoppersError as few:
        return Refreshed(folder, None, False, str(few))
    refused = refusal(fitted, live, rules)
    if refused is not None:
        return Refreshed(folder, fitted, False, f"refused: {refused}")
    written = write_segments(settings.applications, fitted, features, tokens, rules, day)
    return Refreshed(written, fitted, True, f"learned on {fitted.shoppers} shoppers")
