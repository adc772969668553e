"""Metrics, pictures, behavioural tests, the gate and drift."""
