"""From a batch of the requests to rows: understand, load, decide, write."""
