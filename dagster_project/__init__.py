"""The orchestration: thin Dagster assets, checks, jobs, schedules and sensors over `intent_tracking`."""
