"""Adapters to Kafka: one producer, one pump per consumer, readers, topics."""
