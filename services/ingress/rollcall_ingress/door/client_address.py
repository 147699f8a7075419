"""The client's address: the peer's, or what proxies that are trusted say of whom they serve. Pure.

`X-Forwarded-For` is written by every host on the way, so anybody can begin it with anything. It is
read from its end: each proxy adds the address that it was asked from, so the first address from
behind that is no trusted proxy's is the client's, as a trusted one saw it. A peer that is no
trusted proxy is the client itself, whatever it says. Where an entry that counts is no address, the
client is not known, and a key that is limited to networks opens nothing.

`Forwarded` (RFC 7239) and headers with one address are ignored: one header is one truth.
"""

from collections.abc import Sequence
from typing import Final

from rollcall.tenancy.limits import Address, Network, is_within, parse_address

HEADER: Final = "X-Forwarded-For"
MAX_HOPS: Final = 20


def client_address(
    peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]
) -> Address | None:
    """The client of a request from `peer`; `forwarded` are all values of the header, in order.

    None where it is not known: no peer (a Unix socket), or an entry that is no address.
    """
    found = _address(peer or "")
    if found is None or not is_within(found, trusted):
        return found
    hops = [hop for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops[-MAX_HOPS:]):
        found = _address(hop.strip(" \t"))
        if found is None or not is_within(found, trusted):
            return found
    # Trusted to the last: a proxy asks for itself, or nobody said for whom. Further ones than are
    # read would be a chain that nobody has.
    return found if len(hops) <= MAX_HOPS else None


def _address(text: str) -> Address | None:
    """An address as proxies write it: plain, with a port, in brackets."""
    if text.startswith("["):
        text, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not _is_port(rest)):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        return parse_address(text)
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text[0] == ":" and digits.isascii() and digits.isdigit() and len(digits) <= 5
