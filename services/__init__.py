"""The services of Rollcall: each a process of its own; none imports another."""
