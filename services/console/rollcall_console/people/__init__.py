"""Members and groups: found, shown, and what may be done to a member."""
