"""Keys and organisations."""
