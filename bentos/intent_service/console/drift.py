"""The drift state as the console shows it: read from the report of the newest day, nothing computed."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

SUMMARY = "summary.json"


class DriftState(BaseModel):
    """What the newest report says; `columns` names those that have drifted. Unreadable is a state of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date
    verdict: Literal["steady", "drifted", "too_few", "unreadable"]
    reason: str
    columns: list[str]
    compared: int


def drift_state(folder: Path) -> DriftState | None:
    """The state of the newest day under `folder` that has a report; None where there is none yet."""
    path = newest_day(folder, f"*/{SUMMARY}")
    if path is None:
        return None
    # Here: the module brings numpy and arrow, and most pages are opened where a model has brought them already.
    from intent_tracking.evaluation.drift import DriftSummary

    day = date.fromisoformat(path.parent.name)
    try:
        summary = DriftSummary.from_dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return DriftState(
            day=day, verdict="unreadable", reason=f"{path.name} of {day}: {error}", columns=[], compared=0
        )
    verdict: Literal["steady", "drifted", "too_few"] = "drifted" if summary.drifted else "steady"
    return DriftState(
        day=day,
        verdict=verdict if summary.enough else "too_few",
        reason=summary.reason,
        columns=[column.name for column in summary.columns if column.drifted],
        compared=len(summary.columns),
    )


def newest_day(folder: Path, pattern: str) -> Path | None:
    """The file of the newest day; beside the days, `<day>` or `day=<day>`, the folder may hold other things."""
    days = [path for path in folder.glob(pattern) if _is_day(path.parent.name.removeprefix("day="))]
    return max(days, key=lambda path: path.parent.name, default=None)


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False
