"""The event contract, adapters from other formats, ingestion, validation, the event log and the log simulator."""
