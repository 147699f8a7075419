"""Networks and scopes of a key: one form, mapped addresses, what an older release makes of it."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.events.envelope import MalformedEvent
from rollcall.tenancy.limits import (
    SCOPES,
    canonical_networks,
    covers,
    is_within,
    networks_of,
    parse_address,
    parse_network,
)
from rollcall.tenancy.organisation import (
    KEY_TYPE,
    LIMITED_KEY_TYPE,
    ApiKey,
    from_event,
    to_event,
)
from tests.support.builders import MOMENT, ORGANISATION

KEY = ApiKey("Ab3dEf6hIj9k", ORGANISATION, "first", "0" * 64, MOMENT)


@pytest.mark.parametrize(
    ("network", "address", "is_in"),
    [
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.0/24", "::ffff:192.0.2.7", True),
        ("192.0.2.0/24", "::ffff:c000:207", True),
        ("::ffff:192.0.2.0/120", "192.0.2.7", True),
        ("::ffff:192.0.2.0/120", "::ffff:192.0.2.7", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "192.0.2.7", False),
        ("::/0", "::ffff:192.0.2.7", False),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
    ],
)
def test_an_address_is_in_a_network(network: str, address: str, is_in: bool) -> None:
    assert is_within(parse_address(address), networks_of((network,))) is is_in


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_the_same_within_ipv6(address: object) -> None:
    mapped = parse_address(f"::ffff:{address}")

    assert mapped == address
    assert is_within(mapped, (parse_network(str(address)),))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 128))
def test_every_network_has_one_form(address: object, bits: int) -> None:
    text = f"{address}/{min(bits, ip_address(str(address)).max_prefixlen)}"
    network = ip_network(text, strict=False)

    [once] = canonical_networks([str(network)])

    assert canonical_networks([once]) == (once,)
    assert is_within(network.network_address, networks_of((once,)))


@pytest.mark.parametrize(
    "text", ["", "192.0.2.1/24", "192.0.2.0/33", "192.0.2", "a", "192.0.2.0/24;", "010.0.0.1"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        canonical_networks([text])
    with pytest.raises(ValueError, match=r".*"):
        replace(KEY, networks=(text,))


def test_an_unknown_address_is_in_no_network() -> None:
    assert not is_within(None, networks_of(("0.0.0.0/0", "::/0")))


@pytest.mark.parametrize("needed", SCOPES)
def test_scopes(needed: str) -> None:
    resource, _, act = needed.partition(":")

    assert covers((), needed)
    assert covers((needed,), needed)
    assert covers((f"{resource}:write",), needed)
    assert covers((f"{resource}:read",), needed) is (act == "read")
    assert not covers(tuple(each for each in SCOPES if not each.startswith(resource)), needed)


@pytest.mark.parametrize(
    "key", [replace(KEY, networks=("192.0.2.0/24",)), replace(KEY, scopes=("users:read",))]
)
def test_a_limited_key_is_of_a_version_that_an_older_release_refuses(
    key: ApiKey,
) -> None:
    limited = to_event(key, event_id=ORGANISATION, time=MOMENT)
    plain = to_event(KEY, event_id=ORGANISATION, time=MOMENT)

    assert (limited.type, plain.type) == (LIMITED_KEY_TYPE, KEY_TYPE)
    assert "networks" not in plain.data
    assert from_event(limited) == key
    assert from_event(plain) == KEY


@pytest.mark.parametrize(
    "wrong",
    [
        {"networks": "192.0.2.0/24"},
        {"networks": [7]},
        {"networks": ["192.0.2.1/24"]},
        {"networks": ["192.0.2.0/24"] * 65},
        {"scopes": ["everything"]},
        {"scopes": ["users:write", "users:write"]},
        {"networks": None},
    ],
)
def test_a_record_with_limits_that_cannot_be_read_opens_nothing(wrong: dict[str, object]) -> None:
    good = to_event(replace(KEY, scopes=("users:read",)), event_id=ORGANISATION, time=MOMENT)
    bad = replace(good, data={**good.data, **wrong})

    with pytest.raises(MalformedEvent):
        from_event(bad)
