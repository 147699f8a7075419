"""Snapshot, rebuild and verify, over real Kafka and Postgres."""
