"""Organisations and API keys: the records of the tenancy topic. No I/O."""
