"""Events to sessions, and each session to the one text that the model reads."""

from datetime import timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.metadata import counts, sample
from dagster_project.partitions import DAY_BEFORE_TO_DAY_AFTER, TABLES_POOL, daily_asset, days_of
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings

OWNERS = ["team:data-platform"]


def _mean(column: pa.ChunkedArray) -> float:
    value = pc.mean(column.cast(pa.float64())).as_py()
    return 0.0 if value is None else float(value)


@daily_asset(
    deps=[dg.AssetDep("validated_events", partition_mapping=DAY_BEFORE_TO_DAY_AFTER)],
    group_name="sessions",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def sessions(context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.MaterializeResult:
    """What one shopper did without a pause of 30 minutes: one row a session, by the UTC day on which it starts.

    From the `validated_events` of the day before to the day after, so that a session over midnight is whole.
    """
    from intent_tracking.sessions.sessionise import sessionise

    rows = 0
    for day in days_of(context):
        around = [day - timedelta(days=1), day, day + timedelta(days=1)]
        table = sessionise(tables.validated_events.read(around), day)
        tables.sessions.write(day, table)
        rows += table.num_rows
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": table.num_rows,
                "purchase_share": _mean(table["purchased"]),
                "events_per_session": _mean(table["event_count"]),
                "sessions_by_scene": counts(table, "scene"),
                "sample": sample(table, ["started_at", "event_count", "scene", "language", "purchased"]),
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"rows_in_run": rows})


@daily_asset(
    deps=[sessions],
    group_name="sessions",
    kinds={"python", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def session_texts(
    context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """What the model reads: one row a session up to its observation cut-off, and one a message, by UTC day.

    From `sessions`. Cleaned, personal data replaced by typed placeholders, what a robot repeats kept once. Nothing
    after the cut-off is in the text; what came after it gives the labels `behaviour_intent` and `outcome`. Words, tags
    and dependency trees of the newest free text by the shipped pipelines, or those that the settings name.
    """
    from intent_tracking.sessions import texts
    from intent_tracking.text.linguistics import load_linguistics

    analysers = {
        "en": load_linguistics("en", settings.english_pipeline),
        "zh": load_linguistics("zh", settings.chinese_pipeline),
    }
    rows = 0
    for day in days_of(context):
        table = texts.session_texts(tables.sessions.read([day]), analysers)
        tables.session_texts.write(day, table)
        rows += table.num_rows
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": table.num_rows,
                "personal_data_share": _mean(pc.not_equal(table["personal_data"], "{}")),
                "chinese_share": _mean(pc.equal(table["language"], "zh")),
                "tokens_per_utterance": _mean(pc.list_value_length(table["tokens"])),
                "behaviour_intents": counts(table, "behaviour_intent"),
                "sample": sample(table, ["kind", "scene", "language", "visible_events", "behaviour_intent", "outcome"]),
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"rows_in_run": rows})
