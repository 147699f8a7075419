"""The operator: the `rollcall` command, which starts a stack and talks to it."""
