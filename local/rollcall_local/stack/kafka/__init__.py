"""The stack's Kafka: a broker of its own (`native`), or one in a container (`docker`)."""
