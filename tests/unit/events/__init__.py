"""The contract's types."""
