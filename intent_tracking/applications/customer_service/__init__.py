"""Answers at the desk: from templates, from what the shop has written, or by a person."""
