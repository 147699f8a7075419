"""What no client should send: a catalogue, and the runner that plays it against the real stack."""
