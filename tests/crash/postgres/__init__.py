"""Postgres dies, freezes, fills up, fails over, under load."""
