"""A write, from its body to the reply."""
