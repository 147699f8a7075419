"""Pure code and small pieces: no server, no process."""
