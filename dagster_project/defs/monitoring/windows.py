"""What a day of traffic is held against, and what is known of the windows before it."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.resources.drift_report import SUMMARY_FILE, read_summary
from dagster_project.resources.tables import Tables
from intent_tracking.evaluation.drift import DriftSummary
from intent_tracking.evaluation.drift_sample import DRAWN_FROM, PREDICTION, live_version
from intent_tracking.settings import Settings

WINDOW_COLUMNS = [*DRAWN_FROM, PREDICTION, "out_of_scope"]
"""What is held in memory of a whole window: the draw stands on it, and the accuracy where labels have arrived."""


def measured_days(folder: Path) -> list[date]:
    """The days that have a drift report, oldest first."""
    return sorted(date.fromisoformat(path.parent.name) for path in folder.glob(f"*/{SUMMARY_FILE}"))


def drift_history(folder: Path, newest: int | None = 30) -> list[DriftSummary]:
    """Summaries of the `newest` windows, of all where that is None; oldest first."""
    days = measured_days(folder)
    return [read_summary(folder / day.isoformat()) for day in (days if newest is None else days[-newest:])]


def held_against_another(summary: DriftSummary) -> bool:
    """Whether the window was compared with the answers of another model, so that its answers were left out.

    Such a verdict is about the traffic before the model, and says nothing about what the model was trained for.
    """
    return PREDICTION in summary.left_out


def reference_of(settings: Settings, tables: Tables, day: date, reference_days: int) -> pa.Table:
    """The traffic that the live model answered first: its normal.

    Taken from the first `reference_days` days on which the model that answers on `day` answered before, days that
    drifted left out: a reference that moved along would never see a slow drift. A drifted day of the model's first days
    comes in when the drift has passed (`has_passed`): a weekend that follows five working days is unlike them and
    normal, and left out it would be called a drift every week. A model's day that was held against another's answers
    stays in: new traffic is what it was trained for.

    Until the model has such a day, the last days before, whoever answered: then only what does not depend on the model
    can be compared. Stands on what was before `day` alone, so that a day measured again is held against the same.

    Returns:
        Its `WINDOW_COLUMNS`.
    """
    before = [known for known in tables.served_predictions.days() if known < day]
    live = live_version(tables.served_predictions.read([day], columns=["model_version"]))
    verdicts = {summary.window_start.date(): summary for summary in drift_history(settings.drift, newest=None)}
    drifted = {
        known
        for known, summary in verdicts.items()
        if summary.drifted and not (summary.model_version == live and held_against_another(summary))
    }
    judged = [verdicts[known] for known in before if known in verdicts and verdicts[known].model_version == live]
    answered = (known for known in before if live is not None and _answered(tables, known, live))
    normal: list[date] = []
    for number, known in enumerate(answered):
        if known not in drifted or (number < reference_days and has_passed(known, judged)):
            normal.append(known)
        if len(normal) == reference_days:
            break
    if normal:
        reference = tables.served_predictions.read(normal, columns=WINDOW_COLUMNS)
        return reference.filter(pc.equal(reference["model_version"], live))
    calm = [known for known in before if known not in drifted]
    return tables.served_predictions.read((calm or before)[-reference_days:], columns=WINDOW_COLUMNS)


def has_passed(day: date, history: Sequence[DriftSummary]) -> bool:
    """Whether what drifted on `day` was over within a week: two of the seven days after it, in a row, were calm.

    A week has each weekday once, so that a pattern of weekdays passes whatever day it is first seen on; two in a row,
    as a single calm day may be one on which a lasting drift was missed. `history`: windows, oldest first.
    """
    after = [
        summary
        for summary in history
        if day < summary.window_start.date() <= day + timedelta(days=7)
        and summary.enough
        and not held_against_another(summary)
    ]
    return any(not (one.drifted or other.drifted) for one, other in pairwise(after))


def _answered(tables: Tables, day: date, version: str) -> bool:
    # The statistics of the row groups say of most days that the version is not among theirs.
    if not tables.served_predictions.dataset([day]).count_rows(filter=pc.field("model_version") == version):
        return False
    return live_version(tables.served_predictions.read([day], columns=["model_version"])) == version


def labels_by_people(settings: Settings) -> Mapping[str, str]:
    """The newest intent that people gave each session."""
    from intent_tracking.modeling.annotations import read_annotations

    given = sorted(
        read_annotations(sorted(settings.annotations.glob("*.jsonl"))), key=lambda annotation: annotation.annotated_at
    )
    return {label.session_id: label.intent for label in given if label.session_id and not label.event_id}
