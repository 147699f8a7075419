"""Snapshot, rebuild, verify: the directory folded from the log again, and compared with it."""
