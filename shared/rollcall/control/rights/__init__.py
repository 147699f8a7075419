"""What each service's Kafka principal may do, and how it logs in."""
