"""One folder a stage: its assets, checks, jobs, schedules and sensors."""
