"""The suites of the feature snapshots, compiled from the feature declarations."""

from dagster_project.suite_checks import day_table_check

user_features_valid = day_table_check("user_features", lambda tables: tables.user_features)
item_features_valid = day_table_check("item_features", lambda tables: tables.item_features)
