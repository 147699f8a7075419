"""Statements that no request runs: rebuilding, snapshots, erasure, tracing, rights."""
