"""Statements that no request runs: rebuilds, snapshots, erasure, traces, look-ups and rights."""
