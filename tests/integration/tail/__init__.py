"""A replica that reads the log, over a real Kafka and Postgres."""
