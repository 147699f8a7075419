"""Rebuild, verify and snapshot over a real log."""
