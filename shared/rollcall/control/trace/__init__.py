"""What a change came to: found in the audit, the log and the notices, by its id or its member."""
