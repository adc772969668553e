"""How often the drift check cries wolf, and what it finds.

False alarms: 100 pairs of disjoint random sets of sessions of one reference, which cannot have drifted. Power: windows
in which a known share of the sessions has a new intent in new words. By default on hand-made prediction tables; with
`--reference` and `--windows`, on real ones (Parquet with PREDICTION_SCHEMA, as in `tables/served_predictions`).

    python -m benchmarks.bench_drift_false_alarms
    python -m benchmarks.bench_drift_false_alarms --reference calm/*.parquet --windows day1.parquet day2.parquet
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from intent_tracking.evaluation.drift import Calibration, calibrate, drift_decision
from intent_tracking.evaluation.drift_sample import DriftPolicy
from tests.fakes.prediction_tables import served

DAY = date(2026, 1, 31)
STRENGTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)


def _calibrated(reference: pa.Table, policy: DriftPolicy, draws: int) -> Calibration:
    began = time.monotonic()
    found = calibrate(reference, policy, draws=draws)
    print(
        f"sample {found.sample_size:4d}, {draws} pairs without drift: windows called drifted "
        f"{found.false_alarm_rate:.1%}, any column called {found.column_false_alarm_rate:.1%} "
        f"({time.monotonic() - began:.1f} s)"
    )
    return found


def made_tables(draws: int, windows: int) -> None:
    """Figures on hand-made tables: 10 days of reference, weekdays that differ a little."""
    reference = served(3000, seed=1, days=10, daily_noise=0.15)
    for size in (200, 300, 500):
        policy = DriftPolicy(sample_size=size)
        calibration = _calibrated(reference, policy, draws)
        for drift in STRENGTHS:
            found = [
                drift_decision(
                    reference,
                    served(int(size * 1.2), seed=100 + i, day=20 + i, drift=drift, daily_noise=0.15),
                    DAY,
                    policy,
                    calibration=calibration,
                )
                for i in range(windows)
            ]
            share = sum(s.drifted for s in found) / windows
            columns = sum(sum(c.drifted for c in s.columns) for s in found) / windows
            print(
                f"  new intent in {drift:4.0%} of sessions: {share:4.0%} of {windows} windows drifted, "
                f"{columns:.1f} of {len(found[0].columns)} columns"
            )


def real_tables(reference: list[Path], windows: list[Path], draws: int) -> None:
    """Figures on served predictions."""
    table = pa.concat_tables([pq.read_table(path) for path in reference])
    policy = DriftPolicy()
    calibration = _calibrated(table, policy, draws)
    for path in windows:
        began = time.monotonic()
        summary = drift_decision(table, pq.read_table(path), DAY, policy, calibration=calibration)
        word = "drift" if summary.drifted else "no drift" if summary.enough else "no verdict"
        print(f"{path.name}: {word}; {summary.reason} ({time.monotonic() - began:.2f} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--power-windows", type=int, default=20)
    parser.add_argument("--reference", type=Path, nargs="+", default=[])
    parser.add_argument("--windows", type=Path, nargs="+", default=[])
    given = parser.parse_args()
    if given.reference:
        real_tables(given.reference, given.windows, given.draws)
    else:
        made_tables(given.draws, given.power_windows)


if __name__ == "__main__":
    main()
