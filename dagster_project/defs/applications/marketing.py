"""Whom to write to, how likely each shopper buys, and what the messages changed."""

from collections import Counter
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from dagster_project.metadata import picture, rows_as_markdown
from dagster_project.partitions import (
    LAST_30_DAYS,
    TABLES_POOL,
    daily_asset,
    days_checked,
    days_of,
    require_written,
)
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings

if TYPE_CHECKING:
    from intent_tracking.applications.marketing.rules import MarketingRules

OWNERS = ["team:marketing"]
PICTURED_DAYS = 30
SESSION_DAYS = 90


class PropensityConfig(dg.Config):
    """What the model learns from."""

    until: str | None = Field(default=None, description="Last day, YYYY-MM-DD; by default the newest validated events.")


@dg.asset(
    deps=["validated_events"],
    group_name="applications",
    kinds={"scikitlearn", "duckdb"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def propensity_model(
    config: PropensityConfig, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.MaterializeResult:
    """How likely each known shopper buys within 30 days: `applications/propensity_model/<version>`, for `audiences`.

    Trained at earlier cut-offs, chosen at a later one, measured at the latest whose outcome is known, beside RFM. Where
    there is too little to learn from, or nothing better than chance came of it, the model before stays.
    """
    from dagster_project.defs.applications.marketing_runs import train
    from intent_tracking.applications.marketing.propensity_training import PropensityError

    try:
        trained = train(settings, tables, date.fromisoformat(config.until) if config.until else None)
    except PropensityError as refused:
        return dg.MaterializeResult(metadata={"written": False, "why": str(refused)})
    found = trained.measured
    return dg.MaterializeResult(
        metadata={
            "written": True,
            "artifact": dg.MetadataValue.path(trained.folder),
            "auc": found.auc.value,
            "auc_interval": str(found.auc),
            "rfm_auc": found.rfm_auc,
            "gain_over_rfm": str(found.gain),
            "average_precision": found.average_precision,
            "shoppers": found.shoppers,
            "bought_share": found.bought_share,
            "calibration_error": found.calibration.ece,
            "test_cut_off": trained.days.test.isoformat(),
            "chosen": trained.family,
        }
    )


@dg.asset_check(asset=propensity_model, blocking=True)
def propensity_model_better_than_chance(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """The newest model still gives its golden answers, and its AUC was surely above one half; none is no error."""
    from intent_tracking.applications.artifacts import PROPENSITY_MODEL, newest_artifact, verified
    from intent_tracking.applications.marketing.propensity import PropensityModel

    folder = newest_artifact(settings.applications, PROPENSITY_MODEL)
    if folder is None:
        return dg.AssetCheckResult(passed=True, metadata={"model": "none"})
    metrics = verified(folder, PROPENSITY_MODEL).metrics
    version = PropensityModel.load(folder).version
    return dg.AssetCheckResult(passed=metrics["auc_low"] > 0.5, metadata={"model": version, **metrics})


@daily_asset(
    deps=[
        dg.AssetDep("validated_events", partition_mapping=LAST_30_DAYS),
        dg.AssetDep("sessions", partition_mapping=LAST_30_DAYS),
        dg.AssetDep("served_predictions", partition_mapping=LAST_30_DAYS),
        "user_features",
        propensity_model,
    ],
    group_name="applications",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def audiences(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.MaterializeResult:
    """Whom to write to after the UTC day, why and what: one row a shopper, also who is held back or left in peace.

    Rules of `marketing/audiences.yaml` over as much history as they ask for. Nobody is drawn of a day whose events,
    sessions or features are not written: whoever bought on it would be reminded of the cart. The mail tool reads
    `audience_files`, which wait for the checks.
    """
    from dagster_project.defs.applications.marketing_runs import draw_day

    days, rules = days_of(context), _rules(settings)
    require_written(tables.validated_events, days, "ingest_job")
    require_written(tables.sessions, days, "ingest_job")
    require_written(tables.user_features, days, "features_job")
    total = 0
    for day in days:
        found = draw_day(settings, tables, rules, day)
        unknown = found.consents.unknown_channels(rules)
        total += sum(size.treated for size in found.sizes)
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": sum(size.members for size in found.sizes),
                "audiences": rows_as_markdown([size.as_row() for size in found.sizes]),
                "consents": len(found.consents),
                "withdrawn_without_consent": found.consents.withdrawn_without_consent,
                **({"unknown_channels": "; ".join(unknown)} if unknown else {}),
                "propensity_model": found.model or "none: nobody is known to be ready to buy",
                **{f"written_to/{size.audience}": size.treated for size in found.sizes},
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"written_to_in_run": total})


@dg.asset_check(asset=audiences, blocking=True)
def audiences_consented(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """Whoever is written to has consented on that channel, by the files of the shop as they are now."""
    from dagster_project.defs.applications.marketing_runs import drawn_contacts
    from intent_tracking.applications.marketing.consent import CONSENT_FOLDER, read_consents
    from intent_tracking.applications.marketing.history import end_of

    consents = read_consents(settings.marketing / CONSENT_FOLDER, _rules(settings))
    looked, wrong = 0, 0
    for day in days_checked(context, tables.audiences.days()):
        contacts = drawn_contacts(tables, day)
        pairs = zip(contacts["shopper_id"].to_pylist(), contacts["channel"].to_pylist(), strict=True)
        found = [consents.holds(shopper, channel, end_of(day)) for shopper, channel in pairs]
        looked, wrong = looked + len(found), wrong + found.count(False)
    return dg.AssetCheckResult(passed=wrong == 0, metadata={"contacts": looked, "without_consent": wrong})


@dg.asset_check(asset=audiences)
def audiences_channels_known(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """Every consent is for a channel that has a cap; another one may be a typing error. Only a warning."""
    from intent_tracking.applications.marketing.consent import CONSENT_FOLDER, read_consents

    rules = _rules(settings)
    unknown = read_consents(settings.marketing / CONSENT_FOLDER, rules).unknown_channels(rules)
    metadata = {"unknown": "; ".join(unknown)} if unknown else {}
    return dg.AssetCheckResult(passed=not unknown, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)


@dg.asset_check(asset=audiences, blocking=True)
def audiences_under_caps(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """Nobody has more contacts on a channel than its cap allows, counted in the days that are drawn or published."""
    from dagster_project.defs.applications.marketing_runs import over_caps

    rules = _rules(settings)
    over = Counter(dict.fromkeys(rules.caps, 0))
    for day in days_checked(context, tables.audiences.days()):
        over.update(over_caps(tables, rules, day))
    return dg.AssetCheckResult(passed=not any(over.values()), metadata={f"over_cap/{c}": n for c, n in over.items()})


@dg.asset_check(asset=audiences, blocking=True)
def audiences_whole(context: dg.AssetCheckExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.AssetCheckResult:
    """A shopper is in one audience, and members = written to + control + held back."""
    from dagster_project.defs.applications.marketing_runs import day_problems

    written = days_checked(context, tables.audiences.days())
    return _whole(len(written), [problem for day in written for problem in day_problems(tables, day)])


def _whole(days: int, problems: list[str]) -> dg.AssetCheckResult:
    found = {"problems": "; ".join(problems)} if problems else {}
    return dg.AssetCheckResult(passed=not problems, metadata={"days": days, **found})


@daily_asset(
    deps=[audiences],
    group_name="applications",
    kinds={"csv", "python"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def audience_files(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.MaterializeResult:
    """A CSV an audience for the shop's mail tool, `applications/audiences/<day>/`: whom to write to and nobody else.

    An asset by itself, so that a day whose `audiences` fail a blocking check is not put where the mail tool looks.
    Beside the files: the table `audience_contacts`, whom they reach, which caps and effects count.
    """
    from dagster_project.defs.applications.marketing_runs import draw_pictures, publish_day

    rules = _rules(settings)
    days = days_of(context)
    folders = [publish_day(settings, tables, rules, day) for day in days]
    # Of the newest day of the run alone: it shows the days before it.
    pictures = draw_pictures(settings, tables, rules, days[-1], PICTURED_DAYS)
    return dg.MaterializeResult(
        metadata={"files": dg.MetadataValue.path(folders[-1]), **{path.stem: picture(path) for path in pictures}}
    )


@dg.asset_check(asset=audience_files, blocking=True)
def audience_files_whole(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """The files and contacts of a day hold as many of each audience as the table says are written to."""
    from dagster_project.defs.applications.marketing_runs import file_problems

    written = days_checked(context, tables.audiences.days())
    return _whole(len(written), [problem for day in written for problem in file_problems(settings, tables, day)])


class EffectsConfig(dg.Config):
    """Until when outcomes are known."""

    until: str | None = Field(default=None, description="Last day, YYYY-MM-DD; by default the newest validated events.")


@dg.asset(
    deps=[audience_files, "validated_events"],
    group_name="applications",
    kinds={"duckdb", "python"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def audience_effects(
    config: EffectsConfig, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.MaterializeResult:
    """What the messages changed: treated against control of each campaign, `applications/audience_effects/<day>/`.

    Difference of the share that buys and of the money a shopper, with intervals, and how many shoppers it takes where
    there are too few. Contacts whose outcome is not complete yet are not in it. No shopper is named.
    """
    from dagster_project.defs.applications.marketing_runs import report_effects

    report = report_effects(settings, tables, date.fromisoformat(config.until) if config.until else None)
    if report is None:
        return dg.MaterializeResult(metadata={"campaigns": 0, "why": "no first contact has a complete outcome yet"})
    return dg.MaterializeResult(
        metadata={
            "campaigns": len(report.effects),
            "report": dg.MetadataValue.path(report.folder / "report.json"),
            "effects": rows_as_markdown([effect.as_row() for effect in report.effects]),
            "picture": picture(report.folder / "effects.png"),
        }
    )


@dg.asset_check(asset=audience_effects, blocking=True)
def audience_effects_groups_as_declared(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """The groups of the newest report have the sizes of the declared draw: no sample-ratio mismatch."""
    from dagster_project.defs.applications.marketing_runs import newest_report

    found = newest_report(settings)
    odd = sorted(name for name, fair in found.items() if not fair)
    return dg.AssetCheckResult(
        passed=not odd, metadata={"campaigns": len(found), **({"mismatched": ", ".join(odd)} if odd else {})}
    )


def _rules(settings: Settings) -> "MarketingRules":
    from intent_tracking.applications.marketing.rules import read_rules

    return read_rules(settings.marketing)
