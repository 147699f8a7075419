"""The decision: state and request in, changes and outcome out. Pure."""
