"""What identity providers send, end to end."""
