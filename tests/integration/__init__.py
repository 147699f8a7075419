"""One service or adapter against real servers."""
