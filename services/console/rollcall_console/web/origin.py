"""Whether a request that changes something comes from a page of ours (OWASP's cheat sheet on CSRF).

Browsers set `Sec-Fetch-Site` and, with every unsafe method, `Origin`; a page cannot change either.
What has neither header is refused: no browser of today sends such a form.
"""

from collections.abc import Mapping
from typing import Final

SAFE: Final = frozenset({"GET", "HEAD"})


def is_ours(method: str, headers: Mapping[str, str], root_url: str) -> bool:
    """Whether the request may be carried out; `root_url` is the console's own origin."""
    if method in SAFE:
        return True
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is None and origin is None:
        return False
    if site is not None and site != "same-origin":
        return False
    return origin is None or origin == root_url
