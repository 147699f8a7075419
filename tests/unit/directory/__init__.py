"""The decision, without I/O."""
