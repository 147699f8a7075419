"""The local stack: servers started, watched and ended."""
