"""Adapters to Kafka: the producer, the pump of a consumer, readers, topics."""
