"""The suites of the event tables."""

from dagster_project.suite_checks import day_table_check

raw_events_valid = day_table_check("raw_events", lambda tables: tables.raw_events)
validated_events_valid = day_table_check("validated_events", lambda tables: tables.validated_events)
