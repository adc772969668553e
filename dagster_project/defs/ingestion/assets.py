"""Log lines as they came, and the split into accepted and quarantined."""

from collections import Counter
from collections.abc import Iterator
from datetime import date

import dagster as dg

from dagster_project.metadata import counts, sample
from dagster_project.partitions import DAYS, RANGE_IN_ONE_RUN, TABLES_POOL, daily_asset, days_of
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings
from intent_tracking.tombstones import Erasures

OWNERS = ["team:data-platform"]
# A full disk or a file that is still being copied: worth another try, not worth waking anybody.
RETRY = dg.RetryPolicy(max_retries=2, delay=3, backoff=dg.Backoff.EXPONENTIAL)


@daily_asset(
    group_name="ingestion",
    kinds={"python", "parquet"},
    owners=OWNERS,
    retry_policy=RETRY,
    pool=TABLES_POOL,
)
def raw_events(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.MaterializeResult:
    """Log records as they came, one row a record, by the day that the record belongs to.

    From every source under `landing/` and from the event log of the service, whose Kafka topic, where it has one, is
    copied into segments first. A record belongs to the UTC day of its
    event if it arrived at most three days after it, else to the day of its arrival. Personal data is masked here,
    before anything is stored; records of people who were erased are counted (`erased`) and not stored.
    """
    from intent_tracking.events.ingest import collect
    from intent_tracking.events.volume import records_in

    if settings.event_log_kafka is not None:
        from intent_tracking.events.kafka_log import copy_topic

        copied = copy_topic(settings.event_log_kafka.get_secret_value(), settings.event_log, Erasures(settings.home))
        context.log.info(
            f"{copied.messages} messages copied from Kafka into {len(copied.segments)} segments, {copied.erased} erased"
        )
    records = 0
    erased: Counter[date] = Counter()
    for day, table in collect(settings.home, days_of(context), erased=erased):
        tables.raw_events.write(day, table)
        found = records_in(tables.raw_events, day)
        records += found
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": table.num_rows,
                "records": found,
                "erased": erased[day],
                "records_by_adapter": counts(table, "adapter"),
                "sample": sample(table, ["source_file", "source_line", "record_count", "event_time", "received_time"]),
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"records_in_run": records})


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "validated_events",
            deps=["raw_events"],
            description=(
                "Events that meet the contract of `docs/event-schema.md`, one row an event, each `event_id` once, by "
                "UTC day, ordered by (event_time, event_id). From `raw_events`."
            ),
            kinds={"python", "parquet"},
            owners=OWNERS,
            partitions_def=DAYS,
        ),
        dg.AssetSpec(
            "quarantined_events",
            deps=["raw_events"],
            description=(
                "Records of `raw_events` that do not meet the contract, one row a refusal, by UTC day: raw text, "
                "reason, detail and source position, so that they can be replayed after a fix."
            ),
            kinds={"python", "parquet"},
            owners=OWNERS,
            partitions_def=DAYS,
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "validated_events_conserved",
            asset="validated_events",
            blocking=True,
            description="On every day: records read = accepted + duplicate + quarantined, recounted from the files.",
        )
    ],
    backfill_policy=RANGE_IN_ONE_RUN,
    group_name="ingestion",
    retry_policy=RETRY,
    pool=TABLES_POOL,
)
def validate_events(
    context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Split each day of `raw_events` into accepted and quarantined."""
    from dagster_project.defs.ingestion.conservation import DayCount, conservation_result
    from intent_tracking.events.validate import accepted_ids, validate
    from intent_tracking.events.volume import records_in

    day_counts = []
    for day in days_of(context):
        result = validate(tables.raw_events.read([day]), day, known_ids=accepted_ids(tables.validated_events, day))
        tables.validated_events.write(day, result.accepted)
        tables.quarantined_events.write(day, result.quarantined)
        count = DayCount(
            day=day,
            read=records_in(tables.raw_events, day),
            accepted=records_in(tables.validated_events, day),
            duplicate=result.duplicates,
            quarantined=records_in(tables.quarantined_events, day),
        )
        day_counts.append(count)
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": result.accepted.num_rows,
                "duplicates": count.duplicate,
                "quarantined_share": count.quarantined_share,
                "events_by_name": counts(result.accepted, "event_name"),
                "sample": sample(
                    result.accepted, ["event_time", "event_name", "scene", "language", "source_file", "source_line"]
                ),
            },
            asset_key="validated_events",
            partition_key=day.isoformat(),
        )
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": result.quarantined.num_rows,
                "quarantined_share": count.quarantined_share,
                "reasons": counts(result.quarantined, "reason"),
                "sample": sample(result.quarantined, ["reason", "detail", "source_file", "source_line"]),
            },
            asset_key="quarantined_events",
            partition_key=day.isoformat(),
        )
    read = sum(count.read for count in day_counts)
    share = sum(count.quarantined for count in day_counts) / read if read else 0.0
    yield dg.MaterializeResult(asset_key="validated_events", metadata={"records_read_in_run": read})
    yield dg.MaterializeResult(asset_key="quarantined_events", metadata={"quarantined_share_in_run": share})
    yield conservation_result(day_counts)
