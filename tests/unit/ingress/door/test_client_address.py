"""The client's address, with proxies that are trusted, and with strangers who write headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.tenancy.limits import networks_of, parse_address
from rollcall_ingress.door.client_address import MAX_HOPS, client_address

TRUSTED = networks_of(("10.0.0.0/8", "2001:db8::/32"))
PROXY, CLIENT, STRANGER = "10.0.0.1", "192.0.2.7", "198.51.100.9"


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        (CLIENT, [], CLIENT),
        (CLIENT, [STRANGER], CLIENT),  # no trusted proxy: what it says is nothing
        (CLIENT, [PROXY], CLIENT),
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"{STRANGER}, {CLIENT}"], CLIENT),  # the client began the header itself
        (PROXY, [f"10.0.0.9, {CLIENT}"], CLIENT),  # … with a trusted address
        (PROXY, [STRANGER, CLIENT], CLIENT),  # in a header of its own
        (PROXY, [f"{CLIENT}, 10.0.0.2"], CLIENT),  # through two proxies
        (PROXY, [f"{STRANGER}, {CLIENT}", "10.0.0.2"], CLIENT),
        (PROXY, [f" {CLIENT}\t"], CLIENT),
        (PROXY, [f"{CLIENT}:51234"], CLIENT),
        (PROXY, ["[2001:db9::1]:443"], "2001:db9::1"),
        (PROXY, ["[2001:db9::1]"], "2001:db9::1"),
        (PROXY, ["2001:db9::1"], "2001:db9::1"),
        (PROXY, [f"::ffff:{CLIENT}"], CLIENT),
        (f"::ffff:{PROXY}", [CLIENT], CLIENT),
        ("2001:db8::1", [CLIENT], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, ["10.0.0.3"], "10.0.0.3"),
        (PROXY, [""], None),
        (PROXY, ["unknown"], None),
        (PROXY, [f"{CLIENT}, unknown"], None),
        (PROXY, [f"{CLIENT},"], None),
        (PROXY, [f"{CLIENT}:x"], None),
        (PROXY, ["[::1"], None),
        (PROXY, ["192.0.2.07"], None),
        (PROXY, [f"unknown, {CLIENT}"], CLIENT),
        (PROXY, [", ".join(["10.0.0.2"] * (MAX_HOPS + 1))], None),
        (PROXY, [", ".join([STRANGER] * 500 + [CLIENT])], CLIENT),
        (None, [CLIENT], None),
        ("", [CLIENT], None),
    ],
)
def test_client_address(peer: str | None, forwarded: list[str], found: str | None) -> None:
    wanted = None if found is None else parse_address(found)

    assert client_address(peer, forwarded, TRUSTED) == wanted


@given(st.lists(st.text(max_size=60), max_size=8))
def test_what_a_client_writes_before_a_proxy_changes_nothing(written: list[str]) -> None:
    """A proxy adds the address that it was asked from behind what was there."""
    assert client_address(PROXY, [*written, CLIENT], TRUSTED) == parse_address(CLIENT)
    joined = ",".join([*written, CLIENT])
    assert client_address(PROXY, [joined], TRUSTED) == parse_address(CLIENT)


@given(st.lists(st.text(max_size=60), max_size=8))
def test_without_a_trusted_proxy_no_header_counts(written: list[str]) -> None:
    assert client_address(STRANGER, written, ()) == parse_address(STRANGER)
