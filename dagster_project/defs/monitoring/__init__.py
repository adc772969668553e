"""Drift, alerts, and the decision to train again."""
