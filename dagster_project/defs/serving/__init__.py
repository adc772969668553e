"""From an accepted model to a live one, and what it answered."""
