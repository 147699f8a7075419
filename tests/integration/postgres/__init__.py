"""The Postgres adapter against a real server."""
