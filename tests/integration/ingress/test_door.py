"""What comes through the door, and what is on the log afterwards."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from rollcall.events.bodies import Create
from rollcall.runtime.clock import now, now_ms
from rollcall.runtime.ids import new_id
from rollcall.scim.limits import MAX_BODY_BYTES
from tests.support.builders import an_id
from tests.support.door import Door, a_body

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


async def test_post_without_a_provisioner_is_pending_and_on_the_log(door: Door) -> None:
    before_ms = now_ms()

    status, body, headers = await door.call("POST", "/Users", a_body(externalId="A1"))

    assert status == 201
    assert body is not None
    assert headers["Rollcall-Outcome"] == "pending"
    assert headers["Location"] == body["meta"]["location"] == f"{door.base}/Users/{body['id']}"
    assert headers["ETag"] == body["meta"]["version"]
    ((record, request),) = await door.log()
    assert record.partition == door.organisation.partition
    assert record.key == door.organisation.id.encode()
    assert request.kind == "member.create"
    assert request.resource_id == body["id"]
    resource = {"userName": "ana@example.org", "externalId": "A1"}
    assert request.body == Create(resource, name_key="ana@example.org")
    assert request.actor == f"key:{door.records[door.key].public_id}"
    assert request.reply_to in range(4)
    assert request.accept_by_ms is not None
    assert request.accept_by_ms - before_ms >= 10_000
    assert record.timestamp <= request.accept_by_ms
    assert body["meta"]["version"] == f'W/"{request.id}"'


async def test_a_reply_in_time_is_the_answer(patient_door: Door) -> None:
    call = asyncio.create_task(patient_door.call("POST", "/Users", a_body()))

    request = await patient_door.answer_next(
        status=201,
        version="v1",
        created="2026-01-01T00:00:00.000Z",
        last_modified="2026-01-01T00:00:00.000Z",
        resource={"userName": "ana@example.org", "active": True},
    )

    status, body, headers = await call
    assert status == 201
    assert body is not None
    assert body["id"] == request.resource_id
    assert body["active"] is True
    assert body["meta"]["created"] == "2026-01-01T00:00:00.000Z"
    assert headers["ETag"] == 'W/"v1"'
    assert "Rollcall-Outcome" not in headers


async def test_a_refusal_of_the_decision_is_the_answer(patient_door: Door) -> None:
    call = asyncio.create_task(patient_door.call("POST", "/Users", a_body()))

    await patient_door.answer_next(
        status=409, scim_type="uniqueness", detail="Taken.", attribute="userName"
    )

    status, body, headers = await call
    assert status == 409
    assert body is not None
    assert (body["scimType"], body["detail"]) == ("uniqueness", "Taken.")
    assert "Rollcall-Outcome" not in headers


async def test_a_read_waits_for_the_writes_before_it(patient_door: Door) -> None:
    write = asyncio.create_task(patient_door.call("POST", "/Users", a_body()))
    while not patient_door.ingress.under_way._writes:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    read = asyncio.create_task(patient_door.call("GET", "/Users"))
    other, _, _ = await patient_door.call("GET", "/Schemas")
    was_done = read.done()

    await patient_door.answer_next(status=409, detail="Taken.")

    assert other == 200
    assert not was_done
    assert (await read)[0] == 200
    assert (await write)[0] == 409


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"not json", {}, 400),
        (b"[]", {}, 400),
        (b'{"userName": "a\\u0000b"}', {}, 400),
        (b'{"userName": 7}', {}, 400),
        (b'{"userName": "a@b.example"}', {"Content-Type": "text/plain"}, 415),
        (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415),
    ],
)
async def test_bad_bodies_are_refused_and_nothing_is_published(
    door: Door, body: bytes, headers: dict[str, str], status: int
) -> None:
    answered, document, _ = await door.call("POST", "/Users", body, headers=headers)

    assert answered == status
    assert document is not None
    assert document["status"] == str(status)
    assert await door.log() == []


async def test_a_body_over_the_limit_is_413_with_the_limit(door: Door) -> None:
    limit = MAX_BODY_BYTES

    async def chunks() -> Any:
        for _ in range(limit // 65536 + 2):
            yield b" " * 65536

    async with door.http.post(
        f"{door.base}/Users",
        data=chunks(),
        headers={
            "Authorization": f"Bearer {door.key}",
            "Content-Type": "application/scim+json",
        },
    ) as response:
        document = await response.json(content_type=None)

    assert response.status == 413
    assert str(limit) in document["detail"]
    assert await door.log() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/Nothing", 404, None),
        ("GET", "/Me", 501, None),
        ("POST", "/Bulk", 501, None),
        ("GET", "/Users/1/2", 404, None),
        ("PUT", "/Users", 405, "GET, POST, HEAD"),
        ("HEAD", "/Users/not-an-id", 404, None),
        ("POST", f"/Groups/{an_id(7)}", 405, "GET, PUT, PATCH, DELETE, HEAD"),
        ("POST", "/Schemas", 405, "GET, HEAD"),
        ("DELETE", "/ServiceProviderConfig", 405, "GET, HEAD"),
        ("PATCH", "/Users/not-an-id", 404, None),
        ("GET", "/Users/not-an-id", 404, None),
        ("GET", "/Users/0190a000-0000-7000-8000-000000000000", 404, None),
    ],
)
async def test_unknown_addresses_and_methods(
    door: Door, method: str, path: str, status: int, allow: str | None
) -> None:
    answered, document, headers = await door.call(method, path)

    assert answered == status
    assert headers.get("Allow") == allow
    assert method == "HEAD" or (document is not None and document["status"] == str(status))


async def test_every_route_wants_a_key_and_refuses_in_the_same_words(door: Door) -> None:
    other = door.organisation.__class__("01900000-0000-7000-8000-00000000000f", "B", 1, now())
    await door.tell(other)
    keys: list[str | None] = [
        None,
        "rc_wrong",
        door.key[:-1] + ("a" if door.key[-1] != "a" else "b"),
        await door.new_key(other),
        await door.new_key(expires=now() - timedelta(seconds=1)),
        await door.new_key(revoked=now()),
        "x" * 300,
    ]
    paths = ["/Users", "/Groups/1", "/Schemas", "/ServiceProviderConfig", "/Nothing", "/Me", ""]
    seen = set()

    for path in paths:
        for key in keys:
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                _, body, headers = await door.call(method, path, key=key)
                assert headers["WWW-Authenticate"] == "Bearer"
                seen.add(str(body))
    for organisation in ("not-an-id", "", "0190a000-0000-7000-8000-000000000000"):
        _, body, headers = await door.call("GET", f"{door.root}/v2/{organisation}/Users")
        seen.add(str(body))

    assert len(seen) == 1
    assert "'status': '401'" in seen.pop()
    assert await door.log() == []


async def test_scim_switched_off_is_403(door: Door) -> None:
    off = door.organisation.__class__(
        "01900000-0000-7000-8000-0000000000aa", "B", 1, now(), scim_enabled=False
    )
    await door.tell(off)
    key = await door.new_key(off)

    status, _, _ = await door.call("GET", f"{door.root}/v2/{off.id}/Users", key=key)

    assert status == 403


async def test_a_key_works_at_once_and_dies_within_a_second(door: Door) -> None:
    key = await door.new_key()
    first, _, _ = await door.call("GET", "/Users", key=key)
    await door.revoke(key)
    revoked_at = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        while (await door.call("GET", "/Users", key=key))[0] != 401:
            pass
    took_s = asyncio.get_running_loop().time() - revoked_at

    assert first == 200
    assert took_s < 1


async def test_once_a_record_waits_no_request_waits_for_the_provisioner(door: Door) -> None:
    for number in range(3):
        await door.call("POST", "/Users", a_body(f"u{number}@example.org"))
    await door.call("POST", "/Users", a_body("probe@example.org"))
    began_s = asyncio.get_running_loop().time()

    for number in range(5):
        status, _, headers = await door.call("POST", "/Users", a_body(f"v{number}@example.org"))
        assert (status, headers["Rollcall-Outcome"]) == (201, "pending")

    assert asyncio.get_running_loop().time() - began_s < 1.0
    assert {request.promise for _, request in await door.log()} == {"decision"}


async def test_a_patch_that_asks_for_a_body_of_what_nobody_has_accepted_is_404(door: Door) -> None:
    for number in range(3):
        await door.call("POST", "/Users", a_body(f"u{number}@example.org"))
    patch = {"schemas": [PATCH_URN], "Operations": [{"op": "remove", "path": "title"}]}
    path = f"/Users/{new_id()}?attributes=userName"

    assert (await door.call("PATCH", path, patch))[0] == 404


async def test_lists_read_postgres_and_bad_queries_are_400(door: Door) -> None:
    empty, body, _ = await door.call("GET", "/Users?filter=userName+eq+%22x%22&&startIndex=1&")
    statuses = [
        (await door.call("GET", f"/Users?{query}"))[0]
        for query in ("filter=userName", "count=1&count=2", "filter=%00", "count=%EF%BC%91")
    ]

    assert empty == 200
    assert body == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 0,
        "startIndex": 1,
        "itemsPerPage": 0,
        "Resources": [],
    }
    assert statuses == [400, 400, 400, 400]


async def test_discovery_is_served_below_the_organisation(door: Door) -> None:
    status, config, _ = await door.call("GET", "/ServiceProviderConfig")
    _, schemas, _ = await door.call("GET", "/Schemas")
    one, user, _ = await door.call("GET", f"/Schemas/{USER_URN.replace(':', '%3A')}")
    filtered, _, _ = await door.call("GET", "/Schemas?filter=id+eq+%22x%22")

    assert (status, one, filtered) == (200, 200, 403)
    assert config is not None
    assert config["meta"]["location"] == f"{door.base}/ServiceProviderConfig"
    assert schemas is not None
    assert schemas["totalResults"] == 6
    assert user is not None
    assert user["id"] == USER_URN


async def test_forwarding_headers_change_no_link_and_no_method(door: Door) -> None:
    headers = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "X-HTTP-Method-Override": "DELETE",
    }

    status, body, answered = await door.call("POST", "/Users", a_body(), headers=headers)

    assert status == 201
    assert "evil" not in str(body)
    assert "evil" not in answered["Location"]


async def test_probes_and_metrics_answer_on_the_other_port(door: Door) -> None:
    admin = f"http://127.0.0.1:{door.ingress.admin_port}"
    answers = {}

    for path in ("/livez", "/readyz", "/metrics"):
        async with door.http.get(admin + path) as response:
            answers[path] = (response.status, await response.text())

    assert answers["/livez"] == (200, '{"status":"ok"}')
    assert answers["/readyz"] == (200, '{"status":"ok"}')
    assert "rollcall_ingress_answers_total" in answers["/metrics"][1]


async def test_last_use_of_a_key_is_recorded(door: Door) -> None:
    await door.call("GET", "/Users")

    await door.ingress._key_use.flush()

    async with door.ingress._database.connection() as connection:
        rows = await connection.fetch("SELECT public_id FROM tenancy.key_use")
    assert [row["public_id"] for row in rows] == [door.records[door.key].public_id]
