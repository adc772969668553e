"""The suite of what was served."""

from dagster_project.suite_checks import day_table_check

served_predictions_valid = day_table_check("served_predictions", lambda tables: tables.served_predictions)
