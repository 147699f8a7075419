"""Unit tests of ingress: no servers."""
