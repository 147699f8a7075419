"""A read, from its query to the rows."""
