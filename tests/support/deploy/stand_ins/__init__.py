"""What stands in for images that a machine without Docker cannot pull."""
