"""Apply a batch of requests: understand, load, decide, write."""
