"""Ingress over real sockets, with real Kafka and Postgres, without the provisioner."""
