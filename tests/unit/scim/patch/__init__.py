"""PATCH, one module per operation and per step (RFC 7644 §3.5.2)."""
