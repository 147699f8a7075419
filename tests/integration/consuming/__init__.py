"""Integration tests of what a consumer keeps: over real Postgres."""
