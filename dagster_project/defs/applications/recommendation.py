"""What items are recommended from: the index of all, and the past of each shopper."""

import shutil
from datetime import date, timedelta

import dagster as dg
from pydantic import Field

from dagster_project.defs.applications.publishing import publish_application
from dagster_project.partitions import TABLES_POOL
from dagster_project.resources.service import IntentService
from dagster_project.resources.tables import Tables
from intent_tracking.applications.artifacts import ITEM_INDEX, newest_artifact
from intent_tracking.settings import Settings

OWNERS = ["team:machine-learning"]
# A day holds the whole past of every shopper, so that older days say nothing that the newest does not.
DAYS_KEPT = 7


class ItemIndexConfig(dg.Config):
    """What the index is learned from; what is decided about its answers stands in `<home>/recommendation.yaml`."""

    until: str | None = Field(default=None, description="Last day, YYYY-MM-DD; by default the newest with events.")
    window_days: int = Field(default=365, ge=1, description="Days of events that it knows.")
    training_days: int = Field(default=84, ge=1, description="Days before those held out that the ranker learns from.")
    held_out_days: int = Field(default=14, ge=1, description="Last days, whose purchases it is judged on.")
    most_examples: int = Field(default=4_000, ge=1, description="Purchases taken of either.")
    least_examples: int = Field(default=100, ge=1, description="With fewer of either, nothing is learned.")


@dg.asset(
    deps=["validated_events"],
    group_name="applications",
    kinds={"lightgbm", "onnx"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def item_index(
    config: ItemIndexConfig,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
    intent_service: dg.ResourceParam[IntentService],
) -> dg.MaterializeResult:
    """What goes together, what is alike, what is bought again, and the ranker that puts candidates in order.

    From the `validated_events` of a year. Judged on the last days, whose purchases the ranker has not seen: an index
    that does not beat popularity and the shoppers' own past items, or falls behind the live ranker, is not written,
    and what is live stays. It names no shopper. While a shop has too few purchases, there is none.
    """
    from intent_tracking.applications.recommendation.building import (
        IndexConfig,
        NotBetterError,
        TooFewPurchasesError,
        build_item_index,
        window_of,
    )
    from intent_tracking.applications.recommendation.interactions import interaction_events

    until = _last_day(tables, config.until)
    how = IndexConfig(**config.model_dump(exclude={"until"}))
    events = interaction_events(tables.validated_events.dataset(window_of(until, how)))
    try:
        built = build_item_index(settings, events, until, how)
    except TooFewPurchasesError as error:
        return dg.MaterializeResult(metadata={"version": "none", "why": str(error)})
    except NotBetterError as error:
        raise dg.Failure(str(error), metadata={name: float(value) for name, value in error.metrics.items()}) from error
    release = publish_application(settings, intent_service, ITEM_INDEX, built.folder)
    return dg.MaterializeResult(
        metadata={
            "version": built.folder.name,
            "until": until.isoformat(),
            "written": built.written,
            "release": release.number if release else 0,
            **{name: float(value) for name, value in built.metrics.items()},
        }
    )


@dg.asset_check(asset=item_index, blocking=True)
def item_index_answers(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """The newest index is whole and gives the answers that it was written with."""
    from intent_tracking.applications.recommendation.files import LiveIndex

    folder = newest_artifact(settings.applications, ITEM_INDEX)
    if folder is None:
        return dg.AssetCheckResult(passed=True, description="too few purchases for an index so far")
    live = LiveIndex(folder)
    differences = live.replay_golden()
    return dg.AssetCheckResult(
        passed=not differences,
        description=differences[0] if differences else None,
        metadata={"version": live.version, "differences": len(differences), **live.manifest.metrics},
    )


class UserItemsConfig(dg.Config):
    """Whose past is written."""

    until: str | None = Field(default=None, description="Day, YYYY-MM-DD; by default the newest with events.")
    window_days: int = Field(default=365, ge=1, description="Days of events that a past is made of.")


@dg.asset(
    deps=["validated_events"],
    group_name="applications",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def user_items(config: UserItemsConfig, tables: dg.ResourceParam[Tables]) -> dg.MaterializeResult:
    """What each shopper bought, carted and looked at on earlier days: one row a shopper of the last year, as JSON.

    The newest 100 visits and 1,000 items of each, from `validated_events`. The days of the last week are kept.
    """
    from intent_tracking.applications.recommendation.history import histories
    from intent_tracking.applications.recommendation.interactions import interaction_events, interactions_of
    from intent_tracking.features.derived import USER_ITEMS

    until = _last_day(tables, config.until)
    window = [until - timedelta(days=back) for back in reversed(range(config.window_days))]
    found = histories(interactions_of(interaction_events(tables.validated_events.dataset(window))))
    stored = [history.to_json() for history in found.values()]
    tables.user_items.write(until, USER_ITEMS.rows(until, list(found), {"items": stored}))
    for day in tables.user_items.days()[:-DAYS_KEPT]:
        shutil.rmtree(tables.user_items.path(day).parent)
    return dg.MaterializeResult(
        metadata={
            "day": until.isoformat(),
            "dagster/row_count": len(stored),
            "characters": sum(map(len, stored)),
            "longest": max(map(len, stored), default=0),
        }
    )


@dg.asset_check(asset=user_items, blocking=True)
def user_items_readable(tables: dg.ResourceParam[Tables]) -> dg.AssetCheckResult:
    """Every row of the newest day is a past as the service reads it, with something in it and of no later day."""
    from intent_tracking.applications.recommendation.history import History

    day = tables.user_items.days()[-1]
    read = [History.from_json(text) for text in tables.user_items.read([day])["items"].to_pylist()]
    wrong = sum(not history.visits or history.visits[-1].day > day for history in read)
    return dg.AssetCheckResult(passed=wrong == 0, metadata={"day": day.isoformat(), "rows": len(read), "wrong": wrong})


def _last_day(tables: Tables, until: str | None) -> date:
    written = tables.validated_events.days()
    if not written:
        raise dg.Failure("no validated_events are written yet: materialize them for a day first")
    return date.fromisoformat(until) if until else written[-1]
