"""Keys that are limited to networks and scopes, at the edge, and what proxies may say."""

from typing import Any

import aiohttp
import pytest

from rollcall.control.organisations import create_key, limit_key
from rollcall.control.tenancy_log import open_log
from tests.support.scim_client import SCIM
from tests.support.stack import Organisation, Stack, until

USER = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ana@acme.example"}


@pytest.fixture
async def organisation(stack: Stack) -> Organisation:
    """An organisation, and an ingress that believes proxies on this machine."""
    await stack.start("ingress", ROLLCALL_INGRESS_TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8")
    return await stack.organisation()


async def ask(
    organisation: Organisation,
    key: str,
    path: str = "/ServiceProviderConfig",
    *,
    method: str = "GET",
    forwarded: tuple[str, ...] = (),
    json: Any = None,
) -> tuple[int, str]:
    headers = [*SCIM.items(), ("Authorization", f"Bearer {key}")]
    headers += [("X-Forwarded-For", each) for each in forwarded]
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{organisation.base}{path}", headers=headers, json=json) as answer,
    ):
        return answer.status, await answer.text()


async def make(stack: Stack, organisation: Organisation, **limits: Any) -> tuple[str, str]:
    async with open_log(stack.settings) as log:
        record, made = await create_key(log, organisation.id, name="limited", **limits)
    return record.public_id, made.text


async def test_a_key_works_from_its_networks_alone(
    stack: Stack, organisation: Organisation
) -> None:
    public_id, key = await make(stack, organisation, networks=["192.0.2.0/24"])

    allowed: list[tuple[str, ...]] = [
        ("192.0.2.7",),
        ("198.51.100.9, 192.0.2.7",),
        ("198.51.100.9", "192.0.2.7"),
        ("192.0.2.7, 10.0.0.5",),
        ("::ffff:192.0.2.7",),
    ]
    for forwarded in allowed:
        assert (await ask(organisation, key, forwarded=forwarded))[0] == 200, forwarded
    denied: list[tuple[str, ...]] = [
        (),
        ("192.0.3.7",),
        ("192.0.2.7, 198.51.100.9",),
        ("192.0.2.7", "198.51.100.9"),
        ("192.0.2.7, unknown",),
        ("192.0.2.7 198.51.100.9",),
    ]
    for forwarded in denied:
        status, text = await ask(organisation, key, forwarded=forwarded)
        assert status == 403, forwarded
        assert "may not be used from this address" in text
    # Nothing is learnt of a key that is not genuine, from wherever.
    forged = f"{key[:20]}{'A' if key[20] != 'A' else 'B'}{key[21:]}"
    assert (await ask(organisation, forged, forwarded=("192.0.2.7",)))[0] == 401
    assert (await ask(organisation, organisation.key))[0] == 200  # another key is as it was

    async with open_log(stack.settings) as log:
        await limit_key(log, organisation.id, public_id, networks=["127.0.0.1"], scopes=[])

    async def is_moved() -> bool:
        return (await ask(organisation, key))[0] == 200

    await until(is_moved, "the new limit counts")
    assert (await ask(organisation, key, forwarded=("192.0.2.7",)))[0] == 403


async def test_an_ingress_that_trusts_nobody_believes_no_header(stack: Stack) -> None:
    await stack.start("ingress")
    organisation = await stack.organisation()
    _, key = await make(stack, organisation, networks=["192.0.2.0/24"])
    _, here = await make(stack, organisation, networks=["127.0.0.1"])

    every: list[tuple[str, ...]] = [(), ("192.0.2.7",), ("192.0.2.7", "192.0.2.7")]
    for forwarded in every:
        assert (await ask(organisation, key, forwarded=forwarded))[0] == 403
        assert (await ask(organisation, here, forwarded=forwarded))[0] == 200


async def test_a_key_does_what_its_scopes_say(stack: Stack, organisation: Organisation) -> None:
    await stack.start("provisioner")
    _, reads = await make(stack, organisation, scopes=["users:read"])
    _, writes = await make(stack, organisation, scopes=["users:write"])

    assert (await ask(organisation, reads, "/Schemas"))[0] == 200
    assert (await ask(organisation, reads, "/Users"))[0] == 200
    for method, path in (("POST", "/Users"), ("GET", "/Groups"), ("POST", "/Groups/.search")):
        status, text = await ask(organisation, reads, path, method=method, json=USER)
        assert status == 403, path
        assert "may not do this" in text
    assert (await ask(organisation, reads, "/Users/.search", method="POST", json={}))[0] != 403
    assert (await ask(organisation, reads, "/Nothing"))[0] == 404
    status, text = await ask(organisation, writes, "/Users", method="POST", json=USER)
    assert status == 201, text
    assert (await ask(organisation, writes, "/Groups", method="POST", json=USER))[0] == 403
