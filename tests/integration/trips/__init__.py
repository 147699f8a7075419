"""Round trips: how often a service asks Postgres for what it does, counted in Postgres's log."""
