"""Rollcall beside other SCIM servers, in rounds that alternate; makes `docs/benchmarks.md`."""
