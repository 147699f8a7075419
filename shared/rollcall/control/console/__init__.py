"""What an operator sets up for the console: issuers that sign admins in, keys of its API."""
