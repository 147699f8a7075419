"""Every request: route, key, rate, seat, query."""
