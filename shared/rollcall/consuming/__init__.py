"""Where a consumer stands in its log, kept in Postgres."""
