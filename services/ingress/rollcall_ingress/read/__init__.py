"""A read: search, page, show."""
