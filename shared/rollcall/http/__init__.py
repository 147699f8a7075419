"""The HTTP listener with its drain, and the port for probes and Prometheus."""
