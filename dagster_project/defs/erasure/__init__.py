"""The erasure of people who asked for it."""
