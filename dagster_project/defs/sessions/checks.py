"""The suites of sessions and their texts."""

from dagster_project.suite_checks import day_table_check

sessions_valid = day_table_check("sessions", lambda tables: tables.sessions)
session_texts_valid = day_table_check("session_texts", lambda tables: tables.session_texts)
