"""The page SCIM provisioning: whether it works, since when, and what to copy where."""
