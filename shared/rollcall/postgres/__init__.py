"""Postgres: connections, named queries, the directory's rows, audit, progress, tenancy, notices."""
