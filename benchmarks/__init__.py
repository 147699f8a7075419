"""Benchmarks: one file per claim; each prints ratios measured in one run. They are not tests."""
