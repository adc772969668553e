"""The session expression gives the same rows on PySpark as on DuckDB. Needs `pyspark` (4.0) and Java 17."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tracking.events.contract import EventName, SourcePosition, events_to_table
from intent_tracking.sessions.sessionise import SESSION_SCHEMA, session_expression, sessionise
from tests.fakes.session_events import NOON, TEXTS, event

pytestmark = pytest.mark.integration


@pytest.mark.filterwarnings("default")  # pyspark's own: files and sockets that it leaves to the garbage collector
def test_spark_and_duckdb_agree(tmp_path: Path) -> None:
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("PySpark needs a Java runtime, and there is no `java` on the path")
    picker = random.Random(11)
    events = [
        event(
            picker.choice(list(EventName)),
            NOON + timedelta(seconds=picker.randrange(-60_000, 60_000)),
            event_id=f"e{number}",
            user=picker.choice([None, f"u{picker.randrange(12)}"]),
            device=f"phone-{picker.randrange(4)}",
            session_id=picker.choice([None, "web-1", "web-2"]),
            text=picker.choice(TEXTS),
        )
        for number in range(600)
    ]
    table = events_to_table((each, SourcePosition()) for each in events)
    begins = datetime.combine(NOON.date(), time.min, tzinfo=UTC)
    bounds = pa.table({"begins": [begins], "ends": [begins + timedelta(days=1)]}).cast(
        pa.schema([(name, pa.timestamp("us", tz="UTC")) for name in ("begins", "ends")])
    )
    for name, data in (("events", table), ("bounds", bounds)):
        pq.write_table(data, tmp_path / f"{name}.parquet")
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.warehouse.dir", str(tmp_path / "warehouse"))
        .getOrCreate()
    )
    try:
        spark = ibis.pyspark.connect(session)
        expression = session_expression(
            spark.read_parquet(str(tmp_path / "events.parquet"), table_name="events"),
            spark.read_parquet(str(tmp_path / "bounds.parquet"), table_name="bounds"),
        )
        on_spark = spark.to_pyarrow(expression.order_by("started_at", "session_id")).cast(SESSION_SCHEMA)
    finally:
        session.stop()
    assert on_spark.combine_chunks().equals(sessionise(table, NOON.date()))
