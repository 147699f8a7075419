"""What services and commands stand on: SCIM, events, the directory, and their edges."""
