"""Whom to write to, and whether it helped."""
