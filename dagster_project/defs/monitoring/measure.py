"""One day's drift: reference, calibration, delayed labels, report."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from dagster_project.defs.monitoring.windows import labels_by_people, reference_of
from dagster_project.resources.drift_report import report_drift
from dagster_project.resources.tables import Tables
from intent_tracking.evaluation.drift import Calibration, DriftSummary, calibrate
from intent_tracking.evaluation.drift_sample import DriftPolicy, live_version, sessions_of
from intent_tracking.evaluation.performance import correct_answers, performance_drift
from intent_tracking.settings import Settings

if TYPE_CHECKING:
    from dagster_project.defs.monitoring.assets import DriftConfig


def measure_day(settings: Settings, tables: Tables, day: date, config: "DriftConfig") -> tuple[DriftSummary, Path]:
    """Decide on `day` and write its report; returns the summary and the folder that it lies in.

    Raises:
        DriftReportMismatch: the report tool computes a statistic otherwise than the decision.
        AnnotationError: a label file cannot be read.
    """
    policy = DriftPolicy(sample_size=config.sample_size, min_samples=config.min_samples, min_columns=config.min_columns)
    current = tables.served_predictions.read([day])
    reference = reference_of(settings, tables, day, config.reference_days)
    labels = labels_by_people(settings)
    performance = performance_drift(
        correct_answers(reference, labels), correct_answers(current, labels), min_labels=config.min_labels
    )
    folder = settings.drift / day.isoformat()
    summary = report_drift(
        reference,
        current,
        day,
        folder,
        policy,
        calibration=_calibration(reference, policy, config.calibration_draws),
        performance=performance,
    )
    return summary, folder


def _calibration(reference: pa.Table, policy: DriftPolicy, draws: int) -> Calibration | None:
    """None where the reference is too small to be split into pairs, or no draws are wanted."""
    if draws == 0 or live_version(reference) is None:
        return None
    if len(sessions_of(reference, policy.seed)) < 2 * policy.min_samples:
        return None
    return calibrate(reference, policy, draws=draws)
