"""Point-in-time features, offline and online."""
