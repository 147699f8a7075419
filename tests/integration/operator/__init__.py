"""The command line over a real deployment."""
