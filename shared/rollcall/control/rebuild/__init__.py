"""Snapshot, rebuild, verify: the directory made anew from the log, and compared with it."""
