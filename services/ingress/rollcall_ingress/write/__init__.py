"""A write: understand, publish, wait for its reply, answer."""
