"""Entity tags (RFC 7644 §3.14)."""


def weak_etag(version: str) -> str:
    """The weak entity tag of a resource's version, for `ETag` and `meta.version`."""
    return f'W/"{version}"'
