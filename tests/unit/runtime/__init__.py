"""Configuration, breaker, budget, life cycle."""
