"""What stands on the tracked intent: one module an application; each asset calls its library once and publishes."""
