"""Sessions: where they begin and end, what may be observed, and one text for each."""
