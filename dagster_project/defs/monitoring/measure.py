"""One day's drift: reference, calibration, delayed labels, report. What was measured on the same input is kept."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.defs.monitoring.windows import WINDOW_COLUMNS, labels_by_people, reference_of
from dagster_project.resources.drift_report import SUMMARY_FILE, read_summary, report_drift
from dagster_project.resources.tables import Tables
from intent_tracking.evaluation.drift import Calibration, DriftSummary, calibrate
from intent_tracking.evaluation.drift_sample import (
    COMPARED,
    Complete,
    DriftPolicy,
    live_version,
    of_version,
    sessions_of,
)
from intent_tracking.evaluation.performance import correct_answers, performance_drift
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable, atomic_write_text, streamed

INPUTS_FILE = "inputs.sha256"
CALIBRATIONS = "calibrations"

if TYPE_CHECKING:
    from dagster_project.defs.monitoring.assets import DriftConfig


def measure_day(settings: Settings, tables: Tables, day: date, config: "DriftConfig") -> tuple[DriftSummary, Path]:
    """Decide on `day` and write its report; returns the summary and the folder that it lies in.

    The daily check looks again at the days that late events may have changed; a day whose predictions, reference,
    labels and policy are those of its last report keeps it. Of whole windows the `WINDOW_COLUMNS` are in memory, the
    other columns of the drawn sessions alone.

    Raises:
        LookupError: predictions were removed meanwhile.
        DriftReportMismatchError: the report tool computes a statistic otherwise than the decision.
        AnnotationError: a label file cannot be read.
    """
    policy = DriftPolicy(sample_size=config.sample_size, min_samples=config.min_samples, min_columns=config.min_columns)
    current = tables.served_predictions.read([day], columns=WINDOW_COLUMNS)
    reference = reference_of(settings, tables, day, config.reference_days)
    labels = _labels_of(labels_by_people(settings), current, reference)
    folder = settings.drift / day.isoformat()
    inputs = _fingerprint(_ids(current), _ids(reference), labels, config.model_dump())
    if (folder / SUMMARY_FILE).exists() and _read(folder / INPUTS_FILE) == inputs:
        return read_summary(folder), folder
    performance = performance_drift(
        correct_answers(reference, labels), correct_answers(current, labels), min_labels=config.min_labels
    )
    complete = partial(read_compared, tables.served_predictions)
    calibration = _calibration(settings, reference, policy, config.calibration_draws, complete)
    summary = report_drift(
        reference,
        current,
        day,
        folder,
        policy,
        calibration=calibration,
        performance=performance,
        complete=complete,
    )
    atomic_write_text(folder / INPUTS_FILE, inputs)
    return summary, folder


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _ids(predictions: pa.Table) -> str:
    """A digest of the predictions, which their table holds in one order."""
    digest = hashlib.sha256()
    for batch in predictions.select(["prediction_id"]).to_batches(max_chunksize=8192):
        digest.update("".join(f"{each}\n" for each in batch.column(0).to_pylist()).encode())
    return digest.hexdigest()


def _labels_of(labels: Mapping[str, str], *tables: pa.Table) -> dict[str, str]:
    known = pa.array(list(labels), pa.string())
    found = {
        session
        for table in tables
        for session in pc.unique(table["session_id"].filter(pc.is_in(table["session_id"], known))).to_pylist()
    }
    return {session: intent for session, intent in labels.items() if session in found}


def read_compared(served: DayTable, drawn: Sequence[pa.Table]) -> list[pa.Table]:
    """The rows of `drawn` with the columns that are compared, read in one pass over their days, a batch at a time.

    Raises:
        LookupError: a row is no longer there.
    """
    asked = pa.concat_tables([table.select(["prediction_id", "event_time"]) for table in drawn])
    ids = pc.unique(asked["prediction_id"])
    days = pc.unique(asked["event_time"].cast(pa.date32())).to_pylist()
    rows = streamed(served.dataset(sorted(days)), list(COMPARED), pc.field("prediction_id").isin(ids))
    found = pa.Table.from_batches(rows, pa.schema([served.schema.field(name) for name in COMPARED]))
    if found.num_rows < len(ids):
        raise LookupError(f"{served.name} has lost {len(ids) - found.num_rows} rows since they were drawn: run again")
    return [found.take(pc.index_in(table["prediction_id"], found["prediction_id"])) for table in drawn]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _calibration(
    settings: Settings, reference: pa.Table, policy: DriftPolicy, draws: int, complete: Complete
) -> Calibration | None:
    """None where the reference is too small to be split into pairs, or no draws are wanted."""
    version = live_version(reference)
    if draws == 0 or version is None:
        return None
    # Pairs are drawn among the answers of one model: days of several may be held against a new one.
    if len(sessions_of(of_version(reference, version), policy.seed)) < 2 * policy.min_samples:
        return None
    path = settings.drift / CALIBRATIONS / f"{_fingerprint(_ids(reference), asdict(policy), draws)[:16]}.json"
    known = _read(path)
    if known is not None:
        return Calibration(**json.loads(known))
    found = calibrate(reference, policy, draws=draws, complete=complete)
    atomic_write_text(path, json.dumps(asdict(found)))
    return found
