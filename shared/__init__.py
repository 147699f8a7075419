"""What the services agree on: the pure core, and the adapters at its edges."""
