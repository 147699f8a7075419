"""Every route of the table, whatever it is: nothing without a key, nothing but what it lists."""

from dataclasses import replace

from rollcall.runtime.ids import new_id
from rollcall_ingress.door.routes import Route
from tests.support.door import Door

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
SOME_ID = "0190a000-0000-7000-8000-000000000000"


def routes_of(door: Door) -> list[Route]:
    """The whole table, as the door asks it."""
    return list(door.ingress._door._routes.values())


def path_of(route: Route) -> str:
    """An address that the route serves."""
    return "/".join(["", route.endpoint, *([SOME_ID] if route.with_id else [])]).rstrip("/")


async def test_no_route_answers_anything_but_401_without_a_key_of_the_organisation(
    door: Door,
) -> None:
    other = replace(door.organisation, id=new_id())
    await door.tell(other)
    foreign = await door.new_key(other)
    answers = set()

    for route in routes_of(door):
        for method in METHODS:
            for key in (None, foreign, door.key[:-1]):
                status, body, headers = await door.call(method, path_of(route), key=key)
                assert status == 401, (method, route.endpoint)
                assert headers["WWW-Authenticate"] == "Bearer"
                if method != "HEAD":
                    answers.add(str(body))

    assert len(routes_of(door)) >= 12
    assert len(answers) == 1
    assert await door.log() == []


async def test_every_route_refuses_the_methods_that_it_does_not_list(door: Door) -> None:
    """RFC 9110 §15.5.6: with an `Allow` of those that it takes, HEAD wherever GET is."""
    for route in routes_of(door):
        allowed = {*route.methods, *(["HEAD"] if "GET" in route.methods else [])}
        for method in set(METHODS) - allowed:
            status, _, headers = await door.call(method, path_of(route))
            assert status == 405, (method, route.endpoint)
            assert set(headers["Allow"].split(", ")) == allowed, route.endpoint

    assert await door.log() == []


async def test_what_is_not_offered_says_so(door: Door) -> None:
    for path in ("/Me", "/Bulk"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            status, body, _ = await door.call(method, path, b"no JSON at all")

            assert status == 501
            assert body is not None
            assert body["status"] == "501"
            assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
            assert path.strip("/") in body["detail"]


async def test_the_base_itself_is_no_list_of_everything(door: Door) -> None:
    for slash in ("", "/"):
        status, body, _ = await door.call("GET", f"{door.base}{slash}")

        assert status == 501
        assert body is not None
        assert "/Users and /Groups" in body["detail"]


async def test_head_is_get_without_the_body(door: Door) -> None:
    headers = {"Authorization": f"Bearer {door.key}"}
    for path in ("/Users", "/Schemas", "/ServiceProviderConfig", "/ResourceTypes/User"):
        async with door.http.get(door.base + path, headers=headers) as full:
            size = len(await full.read())
        async with door.http.head(door.base + path, headers=headers) as head:
            assert await head.read() == b""
            assert head.status == full.status == 200, path
            assert head.headers["Content-Type"] == full.headers["Content-Type"]
            assert int(head.headers["Content-Length"]) == size


async def test_discovery_names_the_addresses_of_the_organisation_that_asks(door: Door) -> None:
    other = replace(door.organisation, id=new_id())
    await door.tell(other)
    foreign = await door.new_key(other)
    paths = ("/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/Group", "/Schemas")

    for path in paths:
        _, mine, _ = await door.call("GET", path)
        base = f"{door.root}/v2/{other.id}"
        _, theirs, _ = await door.call("GET", base + path, key=foreign)
        assert door.organisation.id in str(mine)
        assert str(mine).replace(door.organisation.id, other.id) == str(theirs)


async def test_every_listed_schema_and_type_is_found_by_its_id(door: Door) -> None:
    for endpoint in ("/Schemas", "/ResourceTypes"):
        _, listed, _ = await door.call("GET", endpoint)
        assert listed is not None
        for item in listed["Resources"]:
            spellings = (item["id"], item["id"].upper(), item["id"].replace(":", "%3A"))
            for spelling in spellings:
                status, found, _ = await door.call("GET", f"{endpoint}/{spelling}")
                assert (status, found) == (200, item)


DISCOVERY = {
    "/Schemas/urn:nobody": 404,
    "/ResourceTypes/Device": 404,
    "/ServiceProviderConfig/1": 404,
    "/Schemas?filter=id%20pr": 403,
    "/ResourceTypes?FILTER=id%20pr": 403,
    "/ServiceProviderConfig?filter=": 403,
    "/Schemas?startIndex=7&count=1&sortBy=id": 200,
    "/serviceConfiguration": 200,
    "/serviceProviderConfigs": 200,
    "/schemas/": 200,
}


async def test_discovery_takes_no_filter_and_ignores_paging(door: Door) -> None:
    """RFC 7644 §4."""
    for path, status in DISCOVERY.items():
        answered, body, _ = await door.call("GET", path)

        assert answered == status, path
        assert body is not None
        if body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]:
            assert body["totalResults"] == body["itemsPerPage"] == len(body["Resources"]) == 6


async def test_another_version_is_named_as_the_mistake(door: Door) -> None:
    """RFC 7644 §3.13, with or without a key."""
    for version in ("v1", "v3", "v2.1"):
        for key in ("own", None):
            url = f"{door.root}/{version}/{door.organisation.id}/Users"
            status, body, _ = await door.call("GET", url, key=key)

            assert status == 400
            assert body is not None
            assert body["scimType"] == "invalidVers"
