"""The decision: from a state and a request to changes and an outcome. No I/O."""
