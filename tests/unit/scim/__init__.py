"""Tests of the SCIM protocol."""
