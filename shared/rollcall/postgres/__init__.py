"""Postgres: connections, named queries, and the tables for everything that is stored."""
