"""The stack's Postgres: a server of its own, and the roles of our services in it."""
