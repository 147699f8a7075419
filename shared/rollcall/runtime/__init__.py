"""What every process needs: settings, clock, ids, retry, breaker, life cycle."""
