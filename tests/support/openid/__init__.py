"""Providers of OpenID Connect for tests of the console: a real one, and one that may lie."""
