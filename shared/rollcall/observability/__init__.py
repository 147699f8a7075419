"""Logs and metrics: all log events are named in one file, all metrics in another."""
