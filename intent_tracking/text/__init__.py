"""Cleaning, personal data and language of free text."""
