"""The Kafka adapter without a broker."""
