"""The console: where an organisation's admin switches SCIM on and sees it at work."""
