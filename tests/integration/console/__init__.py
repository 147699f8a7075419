"""The console as a process over real Kafka and Postgres, asked over HTTP."""
