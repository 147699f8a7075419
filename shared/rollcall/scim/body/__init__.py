"""From the bytes of a request body to a resource."""
