"""The provisioner against real Kafka and Postgres."""
