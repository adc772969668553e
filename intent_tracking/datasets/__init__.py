"""Public data sets: where they are had, under which licence, and readers that give typed rows."""
