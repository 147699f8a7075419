"""The page Organisation: its name, its rules, who may sign in, and what was done to it."""
