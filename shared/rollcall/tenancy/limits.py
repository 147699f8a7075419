"""What narrows an API key: the networks it may be used from, and what it may do there. Pure.

An address that is IPv4 within IPv6 (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2) is that IPv4 address, in
a network as well: a server that listens on both families sees one for the other.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SCOPES: Final = ("users:read", "users:write", "groups:read", "groups:write")
"""What a key may be limited to; to write includes to read."""
MAX_NETWORKS: Final = 64
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_MAPPED_BITS: Final = 96


def parse_address(text: str) -> Address:
    """An address, IPv4 where it stands for one; a zone (`%eth0`) is left out. Raises ValueError."""
    return plain(ip_address(text.partition("%")[0]))


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, else the address itself."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def parse_network(text: str) -> Network:
    """A network, `192.0.2.0/24`, or one address. Raises ValueError: bits beyond the prefix, too."""
    network = ip_network(text.strip())
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None  # it is in the network of these
        return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def canonical_networks(texts: Iterable[str]) -> tuple[str, ...]:
    """Networks in the one form that records have, each once. Raises ValueError."""
    found = tuple(dict.fromkeys(str(parse_network(text)) for text in texts))
    if len(found) > MAX_NETWORKS:
        raise ValueError(f"more than {MAX_NETWORKS} networks")
    return found


def canonical_scopes(texts: Iterable[str]) -> tuple[str, ...]:
    """Scopes in the order of SCOPES, each once. Raises ValueError."""
    wanted = {text.strip() for text in texts}
    if unknown := wanted - set(SCOPES):
        raise ValueError(f"no scope: {', '.join(sorted(unknown))}")
    return tuple(scope for scope in SCOPES if scope in wanted)


@lru_cache(maxsize=4096)
def networks_of(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """The networks of a record. Raises ValueError."""
    return tuple(parse_network(text) for text in texts)


def is_within(address: Address | None, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks; one that is not known is in none."""
    if address is None:
        return False
    known = plain(address)
    return any(known.version == each.version and known in each for each in networks)


def covers(scopes: Sequence[str], needed: str) -> bool:
    """Whether scopes allow what is needed; none at all is no limit."""
    if not scopes or needed in scopes:
        return True
    resource, _, act = needed.partition(":")
    return act == "read" and f"{resource}:write" in scopes
