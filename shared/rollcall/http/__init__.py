"""Listening for HTTP, draining, and what probes and Prometheus ask."""
