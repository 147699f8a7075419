"""Applies requests in order, exactly once in effect, and announces what became of them."""
