"""Logs in: raw events, and what of them meets the contract."""
