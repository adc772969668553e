"""The suites of the feature snapshots, compiled from the feature declarations."""

import dagster as dg

from dagster_project.metadata import rows_as_markdown
from dagster_project.resources.feature_store import FeastStore
from dagster_project.suite_checks import day_table_check

PARITY_SAMPLE = 200

user_features_valid = day_table_check("user_features", lambda tables: tables.user_features)
item_features_valid = day_table_check("item_features", lambda tables: tables.item_features)


@dg.asset_check(asset="online_features", blocking=True)
def online_features_match(feature_store: dg.ResourceParam[FeastStore]) -> dg.AssetCheckResult:
    """Sampled shoppers and items are served online exactly what was computed offline."""
    from intent_tracking.features.declaration import Entity

    reports = {entity: feature_store.parity_check(PARITY_SAMPLE, entity) for entity in Entity}
    # Items by their key; a shopper is not named in what Dagster keeps, which no erasure reaches.
    broken: list[dict[str, object]] = [
        {
            "entity": key if entity is Entity.ITEM else "a shopper",
            "feature": feature,
            "online": online,
            "offline": offline,
        }
        for entity, report in reports.items()
        for key, feature, online, offline in report.mismatches
    ]
    missing = [
        key if entity is Entity.ITEM else "a shopper" for entity, report in reports.items() for key in report.missing
    ]
    return dg.AssetCheckResult(
        passed=all(report.passed for report in reports.values()),
        metadata={
            "sampled": sum(report.sampled for report in reports.values()),
            "compared": sum(report.compared for report in reports.values()),
            "fresher": sum(report.fresher for report in reports.values()),
            "mismatched": sum(report.mismatched for report in reports.values()),
            "missing": len(missing),
            **({"mismatches": rows_as_markdown(broken)} if broken else {}),
            **({"not_served": ", ".join(missing[:20])} if missing else {}),
        },
    )
