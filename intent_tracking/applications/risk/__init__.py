"""Bots, abuse and abnormal orders: a score, a decision, and why."""
