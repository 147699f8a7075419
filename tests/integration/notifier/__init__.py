"""The notifier against real Postgres, Kafka and SMTP."""
