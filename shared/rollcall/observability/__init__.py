"""What an operator sees: log events and metrics, each named in one file."""
