"""Real-time shopper intent: events, sessions, features, models and decisions, as a library without an orchestrator."""

__version__ = "0.1.0"
