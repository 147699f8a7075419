"""The SCIM protocol (RFC 7643, 7644) as pure functions over dicts: no I/O, clock or randomness."""
