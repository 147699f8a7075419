"""Statements that no request runs: for rebuilds, snapshots, erasure, traces and rights."""
