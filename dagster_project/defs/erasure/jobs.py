"""The erasure of people: everything that is stored, then online, then the search that proves it."""

import hashlib
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from dagster_project.metadata import rows_as_markdown
from dagster_project.partitions import FEAST_POOL, TABLES_POOL
from dagster_project.resources.feature_store import FeastStore
from intent_tracking.settings import Settings

STORED = "stored"


# No step names anybody: what Dagster keeps of a run is not rewritten.
@dg.op(pool=TABLES_POOL, description="Remove erased people from logs, landed files, labels, tables and training data.")
def erase_stored_records(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.Nothing:
    """In the pool of those who write day tables, so that none of them writes what it read before."""
    from intent_tracking.erasure.stored import erase_stored
    from intent_tracking.sessions.state import open_session_store

    sessions = open_session_store(settings)
    try:
        removed = erase_stored(
            settings, sessions, lambda place, records: context.log.info(f"{place}: {records} records removed")
        )
    finally:
        sessions.close()
    context.add_output_metadata({"records": sum(removed.values()), **removed})


@dg.op(
    ins={STORED: dg.In(dg.Nothing)},
    pool=FEAST_POOL,
    description="Remove erased people from the online store, whose snapshots are clean by now.",
)
def erase_online_features(
    context: dg.OpExecutionContext,
    settings: dg.ResourceParam[Settings],
    feature_store: dg.ResourceParam[FeastStore],
) -> dg.Nothing:
    """In the pool of those who materialize, so that no run writes a row that it read before."""
    from intent_tracking.erasure.proof import names_of
    from intent_tracking.tombstones import Erasures

    erasures = Erasures(settings.home)
    total = 0
    for erasure in erasures.pending():
        rows = feature_store.remove(sorted(names_of(erasure, erasures.tombstones()).shoppers))
        total += rows
        if rows:
            erasures.note(erasure.request, removed={"online_features": rows})
    context.add_output_metadata({"rows": total})


class ProofConfig(dg.Config):
    """What to do where names are left."""

    accept_remaining: bool = Field(
        default=False,
        description="Finish although names were found: for somebody who has looked at each place and knows it for "
        "something else, such as a product with the number of a shopper.",
    )


@dg.op(
    ins={STORED: dg.In(dg.Nothing)},
    description="Search every file of the home for the names, and forget them where none is left.",
)
def prove_erasure(
    context: dg.OpExecutionContext, config: ProofConfig, settings: dg.ResourceParam[Settings]
) -> dg.Nothing:
    """Fails where a name is left, and names the places; the erasure stays pending then, and the sensor tries again."""
    from intent_tracking.erasure.proof import prove

    proved = prove(settings, accept_remaining=config.accept_remaining)
    remaining: list[dict[str, object]] = [
        {"request": each.request, "path": place.path, "where": place.where, "hits": place.hits}
        for each in proved
        for place in each.proof.remaining
    ]
    hits = sum(each.proof.hits for each in proved)
    context.add_output_metadata(
        {
            "people": len(proved),
            "finished": sum(each.finished for each in proved),
            "hits": hits,
            "later_records": sum(each.proof.later for each in proved),
            "files_searched": max((each.proof.files for each in proved), default=0),
            "megabytes_searched": max((each.proof.megabytes for each in proved), default=0.0),
            "removed": rows_as_markdown(
                [
                    {"request": each.request, "place": place, "records": records}
                    for each in proved
                    for place, records in sorted(each.removed.items())
                ]
            ),
            **({"remaining": rows_as_markdown(remaining)} if remaining else {}),
        }
    )
    if hits and not config.accept_remaining:
        places = "; ".join(f"{row['path']} ({row['where']}): {row['hits']}" for row in remaining[:10])
        raise dg.Failure(
            f"{hits} times a name of somebody who was erased is left: {places}. What is only being written goes with "
            "the next run; what is something else, such as a product of that number, is accepted by accept_remaining"
        )


@dg.job(
    description="Remove everybody who asked for it from everything below the home, and prove it. Safe to repeat: it "
    "also takes what came late, was landed again or was restored from a backup.",
    tags={"dagster/max_runtime": "21600", "intent/exclusive": "erasure", "dagster/priority": "5"},
)
def erasure_job() -> None:
    """Stored records first, for features online are made of them."""
    prove_erasure(erase_online_features(erase_stored_records()))


# By name: Dagster rebuilds a sensor that holds a job of ops, and warns of a beta parameter when it does.
@dg.sensor(job_name="erasure_job", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def erasure_sensor(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    """Start the job where an erasure is pending, one run at a time, and again each hour until it is proved."""
    from dagster_project.defs.monitoring.retraining import UNFINISHED
    from intent_tracking.tombstones import Erasures

    pending = Erasures(settings.home).pending()
    if not pending:
        return dg.SkipReason("no erasure is pending")
    unfinished = dg.RunsFilter(job_name=erasure_job.name, statuses=UNFINISHED)
    if context.instance.get_runs(unfinished, limit=1):
        return dg.SkipReason(f"{len(pending)} erasures are pending, and erasure_job runs")
    asked = "".join(f"{each.request}{each.requested_at.isoformat()}" for each in pending)
    digest = hashlib.sha256(asked.encode()).hexdigest()[:16]
    return dg.RunRequest(run_key=f"erasure-{digest}-{datetime.now(UTC):%Y%m%dT%H}")
