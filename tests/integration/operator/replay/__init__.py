"""Replays: from a time, as of a time, to the notifier."""
