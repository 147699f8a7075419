"""Servers, harnesses and sample data for every folder of tests. No test in here."""
