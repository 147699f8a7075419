"""Organisations are apart: nothing of another is found, changed, or told from what is absent."""
