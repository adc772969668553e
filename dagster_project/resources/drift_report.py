"""Evidently, behind one file: the drift of each column drawn as HTML, and each statistic computed a second time.

`intent_tracking.evaluation.drift` decides: it draws the samples, sets each column's threshold and gives the verdict.
Evidently gets those samples, methods and thresholds, so its page shows the same verdict column by column, and its
statistics must equal ours: where they do not, one of the two has changed its definition, and no report is written.
"""

import os
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from intent_tracking.evaluation.drift import Calibration, DriftSummary, drift_decision
from intent_tracking.evaluation.drift_sample import RULES, Complete, DriftPolicy, DriftSample, Method, draw
from intent_tracking.evaluation.performance import PerformanceDrift
from intent_tracking.evaluation.report import write_report
from intent_tracking.tables import atomic_write_text

HTML_FILE = "report.html"
SUMMARY_FILE = "summary.json"
TOLERANCE = 1e-6


class DriftReportMismatchError(RuntimeError):
    """Evidently computed another statistic than the one that the decision stands on."""


def _frames(sample: DriftSample) -> tuple[Any, Any]:
    import pandas as pd

    # Columns of numbers that lost their nulls are shorter; pandas fills the gap and Evidently drops it again.
    return (
        pd.DataFrame({c.name: pd.Series(c.reference) for c in sample.columns}),
        pd.DataFrame({c.name: pd.Series(c.current) for c in sample.columns}),
    )


def run_evidently(sample: DriftSample, summary: DriftSummary) -> Any:
    # Evidently asks this variable before it sends anything; as a library it sends nothing, and it shall stay so.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        # evidently 0.7.23 imports deprecated parts of numpy and litestar; its own affair, and not an error of ours.
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

    threshold = {column.name: column.threshold for column in summary.columns}
    categories = [c.name for c in sample.columns if RULES[c.kind].method is Method.JENSEN_SHANNON]
    numbers = [c.name for c in sample.columns if RULES[c.kind].method is Method.WASSERSTEIN]
    definition = DataDefinition(categorical_columns=categories, numerical_columns=numbers)
    reference, current = (Dataset.from_pandas(frame, data_definition=definition) for frame in _frames(sample))
    metrics = [
        ValueDrift(column=c.name, method=RULES[c.kind].method.value, threshold=threshold[c.name])
        for c in sample.columns
    ]
    return Report(metrics, include_tests=True).run(current, reference)


def evidently_statistics(snapshot: Any) -> dict[str, float]:
    """Statistic of each column in an Evidently snapshot."""
    return {metric["config"]["column"]: float(metric["value"]) for metric in snapshot.dict()["metrics"]}


def write_html(sample: DriftSample, summary: DriftSummary, path: Path) -> None:
    """Draw the columns of a decided sample as one HTML file that loads nothing from elsewhere.

    Raises:
        DriftReportMismatchError: Evidently's statistic of a column is not the decision's.
    """
    snapshot = run_evidently(sample, summary)
    theirs = evidently_statistics(snapshot)
    for column in summary.columns:
        if abs(theirs[column.name] - column.statistic) > TOLERANCE:
            raise DriftReportMismatchError(
                f"column {column.name}: Evidently computes {column.method} {theirs[column.name]:.9f}, the decision "
                f"stands on {column.statistic:.9f}; its definition has changed: install the locked evidently"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, snapshot.get_html_str(as_iframe=False))


def report_drift(
    reference: pa.Table,
    current: pa.Table,
    day: date,
    out_dir: Path,
    policy: DriftPolicy | None = None,
    *,
    calibration: Calibration | None = None,
    performance: PerformanceDrift | None = None,
    complete: Complete | None = None,
    days: int = 1,
) -> DriftSummary:
    """Decide on one window and write `summary.json`, and `report.html` where there were enough sessions.

    Args:
        reference, current: tables with PREDICTION_SCHEMA; with the columns that the draw stands on, where `complete`
            gives the drawn rows the rest.
        day: last day of the window of `days` days.
        out_dir: folder of this window's report.
        calibration, performance: see `drift_decision`.

    Raises:
        DriftError: a column is missing.
        DriftReportMismatchError: Evidently disagrees on a statistic.
    """
    policy = policy or DriftPolicy()
    sample = draw(reference, current, policy, complete)
    summary = drift_decision(
        reference,
        current,
        day,
        policy,
        calibration=calibration,
        performance=performance,
        sample=sample,
        complete=complete,
        days=days,
    )
    if sample is not None:
        write_html(sample, summary, out_dir / HTML_FILE)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_report(out_dir / SUMMARY_FILE, summary.to_dict())
    return summary


def read_summary(out_dir: Path) -> DriftSummary:
    """Read the `summary.json` of one window's report.

    Raises:
        FileNotFoundError: there is no report in the folder.
    """
    import json

    return DriftSummary.from_dict(json.loads((out_dir / SUMMARY_FILE).read_text("utf-8")))
