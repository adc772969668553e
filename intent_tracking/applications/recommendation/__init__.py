"""What to show next: the intent chooses the strategy, sessions and orders the items."""
