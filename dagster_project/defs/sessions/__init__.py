"""Events to sessions, sessions to texts."""
