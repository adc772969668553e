"""Adapters to the outside: each third party stands behind one module here."""
