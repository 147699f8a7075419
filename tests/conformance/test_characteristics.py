"""What `/Schemas` says of each attribute is what the service does (RFC 7643 §2.2, §7).

The served documents are walked, not our own files: for each attribute a value that keeps to its
characteristics is taken, and what breaks one of them is refused or left out, as the standard says.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.support.scim_client import Answer, Client, Json
from tests.support.stack import Stack

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
STRICT = "handling=strict"
"""Where the compatible profile takes what the standard wants refused (RFC 7240 §4.4)."""
WRONG: dict[str, Any] = {
    "string": {"text": 7},
    "boolean": "maybe",
    "reference": {"address": 7},
    "binary": "no base64",
    "complex": 7,
}
"""A value that is of another type, and that no repair of a client's dialect can take for right."""

MADE_FROM_VALUE = ("$ref", "members.type")
"""The server makes them from `value`, and passes over what a client says of them."""
WITHOUT_VALUE = (f"{ENTERPRISE}:manager.displayName",)
"""Optional, and known so that a client which sends it is understood; it is never filled."""
WITHOUT_FILTER = (f"{ENTERPRISE}:manager.$ref",)
"""A filter on it is refused; one on `manager.value` says the same."""


@dataclass(frozen=True, slots=True)
class ServedAttribute:
    """One attribute where it is served: its resource type, its extension, its parent."""

    urn: str
    attribute: Json
    parent: Json | None = None

    @property
    def endpoint(self) -> str:
        """Where resources of the type are."""
        return "/Groups" if self.urn == GROUP else "/Users"

    @property
    def path(self) -> str:
        """Its name in a filter, in `attributes`, in a PATCH."""
        prefix = f"{ENTERPRISE}:" if self.urn == ENTERPRISE else ""
        above = f"{self.parent['name']}." if self.parent is not None else ""
        return f"{prefix}{above}{self.attribute['name']}"

    @property
    def top(self) -> Json:
        """The attribute, or the one whose sub-attribute it is."""
        return self.parent or self.attribute

    @property
    def is_read_only(self) -> bool:
        """Whether the server alone sets it."""
        return "readOnly" in (self.attribute["mutability"], self.top["mutability"])

    def inside(self, value: Any) -> Json:
        """The attributes of a body in which this one, and of its parent only this one, is set."""
        if self.parent is not None:
            value = {self.attribute["name"]: value}
            if self.attribute["name"] != "value":
                value = {**valid(self.parent, only="value"), **value}
            value = [value] if self.parent["multiValued"] else value
        document = {self.top["name"]: value}
        return {ENTERPRISE: document} if self.urn == ENTERPRISE else document

    def of(self, resource: Json) -> Any:
        """Its value in a resource; of several elements that of the first."""
        document = resource.get(ENTERPRISE, {}) if self.urn == ENTERPRISE else resource
        value = document.get(self.top["name"])
        if self.parent is None:
            return value
        if isinstance(value, list):
            value = value[0] if value else None
        return None if value is None else value.get(self.attribute["name"])


def valid(attribute: Json, only: str | None = None) -> Any:
    """A value that keeps to every characteristic, in letters of both cases."""
    name: str = attribute["name"]
    match attribute["type"]:
        case "complex":
            element = {
                sub["name"]: valid({**sub, "of": name})
                for sub in attribute["subAttributes"]
                if sub["mutability"] != "readOnly" and only in (None, sub["name"])
            }
            element.pop("$ref", None)  # made from the value
            return element
        case "boolean":
            return True
        case "reference":
            return f"https://pictures.example/{name}/Abc"
        case "binary":
            return "QWJjRGVm"
    if name == "userName" or (attribute.get("of") == "emails" and name == "value"):
        return "Ana.Sailor@example.com"
    return attribute["canonicalValues"][0] if "canonicalValues" in attribute else f"Abc {name}"


def all_served(schemas: list[Json]) -> Iterator[ServedAttribute]:
    """Every attribute of the resource types, sub-attributes after their parent."""
    for document in schemas:
        if document["id"] in (USER, GROUP, ENTERPRISE):
            for attribute in document["attributes"]:
                yield ServedAttribute(document["id"], attribute)
                for sub in attribute.get("subAttributes", []):
                    yield ServedAttribute(document["id"], sub, attribute)


@dataclass(slots=True)
class Walk:
    """An organisation with one full user and one full group; all attributes of its schemas."""

    client: Client
    all: list[ServedAttribute]
    user: Json
    group: Json

    def resource(self, served: ServedAttribute) -> Json:
        """The resource of the attribute's type."""
        return self.group if served.endpoint == "/Groups" else self.user

    def minimal(self, served: ServedAttribute, name: str) -> Json:
        """A body with what is required, which nobody else has."""
        if served.endpoint == "/Groups":
            return {"schemas": [GROUP], "displayName": name}
        return {"schemas": [USER, ENTERPRISE], "userName": name}

    async def post(self, served: ServedAttribute, name: str, attributes: Json) -> Answer:
        """POST with this attribute beside the required ones."""
        body = {**self.minimal(served, name), **attributes}
        return await self.client.call("POST", served.endpoint, body)

    async def patch(
        self, served: ServedAttribute, op: str, path: str, value: Any, prefer: str | None = None
    ) -> Answer:
        """PATCH of the type's resource with one operation."""
        operation = {"op": op, "path": path, "value": value}
        body = {"schemas": [PATCH], "Operations": [operation]}
        address = f"{served.endpoint}/{self.resource(served)['id']}"
        return await self.client.call("PATCH", address, body, Prefer=prefer)


def refused(answer: Answer, scim_type: str, status: int = 400) -> bool:
    """Whether the answer is that error, with a detail."""
    body = answer.body or {}
    return answer.status == status and body.get("scimType") == scim_type and bool(body["detail"])


async def kinds(walk: Walk) -> AsyncIterator[str]:
    """`type` and `multiValued`: another type, and a list where one value belongs, are refused."""
    for served in walk.all:
        if served.is_read_only or served.path.endswith(MADE_FROM_VALUE):
            continue
        wrong = WRONG[served.attribute["type"]]
        answer = await walk.post(served, "Nobody", served.inside(wrong))
        if not refused(answer, "invalidValue"):
            yield f"{served.path}: {wrong!r} as {served.attribute['type']} was {answer}"
        if not served.attribute["multiValued"]:
            several = [valid(served.attribute), valid(served.attribute)]
            answer = await walk.post(served, "Nobody", served.inside(several))
            if not refused(answer, "invalidValue"):
                yield f"{served.path}: a list was {answer}"


async def requirements(walk: Walk) -> AsyncIterator[str]:
    """`required`: not to be left out, null or blank, and not to be removed."""
    for served in walk.all:
        if not served.attribute["required"] or served.parent is not None:
            continue
        for value in (None, "", "  "):
            answer = await walk.post(served, "Nobody", served.inside(value))
            if not refused(answer, "invalidValue"):
                yield f"{served.path}: {value!r} was {answer}"
        body = {k: v for k, v in walk.minimal(served, "Nobody").items() if k == "schemas"}
        answer = await walk.client.call("POST", served.endpoint, body)
        if not refused(answer, "invalidValue"):
            yield f"{served.path}: its absence was {answer}"
        answer = await walk.client.patch(
            f"{served.endpoint}/{walk.resource(served)['id']}",
            {"op": "remove", "path": served.path},
        )
        if not refused(answer, "mutability") and not refused(answer, "invalidValue"):
            yield f"{served.path}: its removal was {answer}"


async def mutability(walk: Walk) -> AsyncIterator[str]:
    """`readOnly` is ignored in POST and refused in PATCH; `immutable` cannot be changed."""
    for served in walk.all:
        changes = served.attribute["mutability"]
        value = "Somebody else"
        if served.is_read_only and served.attribute["type"] != "complex":
            answer = await walk.post(served, f"Read only {served.path}", served.inside(value))
            if answer.status != 201 or served.of(answer.body) == value:
                yield f"{served.path}: given in POST was {answer}"
        if served.is_read_only:
            answer = await walk.patch(served, "replace", served.path, value)
            if not refused(answer, "mutability"):
                yield f"{served.path}: replacing it was {answer}"
        if changes == "immutable" and served.attribute["name"] == "value":
            answer = await walk.patch(
                served, "replace", f'members[value eq "{walk.user["id"]}"].value', value, STRICT
            )
            if not refused(answer, "mutability"):
                yield f"{served.path}: changing it was {answer}"


async def suggestions(walk: Walk) -> AsyncIterator[str]:
    """`canonicalValues` are suggestions (RFC 7643 §7): others are taken, and come back."""
    for served in walk.all:
        if (
            "canonicalValues" not in served.attribute
            or served.attribute["mutability"] != "readWrite"
        ):
            continue
        answer = await walk.post(served, f"Telex {served.path}", served.inside("Telex"))
        if answer.status != 201 or served.of(answer.body) != "Telex":
            yield f"{served.path}: another value was {answer}"


async def comparisons(walk: Walk) -> AsyncIterator[str]:
    """`caseExact`: whether a filter finds the value in other letters."""
    for served in walk.all:
        value = served.of(walk.resource(served))
        if served.attribute["type"] == "complex":
            continue
        if served.path in WITHOUT_FILTER:
            query = quote(f'{served.path} eq "{value}"')
            answer = await walk.client.call("GET", f"{served.endpoint}?filter={query}")
            if not refused(answer, "invalidFilter"):
                yield f"{served.path}: a filter was {answer}"
            continue
        if (value is None) != (served.path in WITHOUT_VALUE):
            yield f"{served.path}: is {value!r} in {walk.resource(served)}"
        if value is None:
            continue
        for text, found in filters(served, value):
            query = quote(f'{served.path} eq {text} and id eq "{walk.resource(served)["id"]}"')
            answer = await walk.client.call("GET", f"{served.endpoint}?filter={query}")
            if answer.status != 200 or answer.body["totalResults"] != found:
                yield f"{served.path} eq {text}: wanted {found}, was {answer}"


def filters(served: ServedAttribute, value: Any) -> Iterator[tuple[str, int]]:
    """Values as a filter writes them, and how many resources each must find."""
    if isinstance(value, bool):
        yield ("true", int(value))
        yield ("false", int(not value))
        return
    yield (f'"{value}"', 1)
    if value.swapcase() != value:
        yield (f'"{value.swapcase()}"', 0 if served.attribute["caseExact"] else 1)


async def projections(walk: Walk) -> AsyncIterator[str]:
    """`returned` is `default` everywhere: shown, unless it is left out by name."""
    for served in walk.all:
        if served.attribute["returned"] != "default":
            yield f"{served.path}: returned {served.attribute['returned']} has no check here"
        resource = walk.resource(served)
        address = f"{served.endpoint}/{resource['id']}"
        only = await walk.client.call("GET", f"{address}?attributes={served.path}")
        if served.of(only.body) != served.of(resource):
            yield f"{served.path}: asked for alone was {only}"
        beside = only.body.keys() - {"id", "schemas", "meta", ENTERPRISE, served.top["name"]}
        if beside:
            yield f"{served.path}: asked for alone came with {beside}"
        without = await walk.client.call("GET", f"{address}?excludedAttributes={served.path}")
        if served.of(without.body) is not None:
            yield f"{served.path}: excluded was {without}"


async def uniqueness(walk: Walk) -> AsyncIterator[str]:
    """`server`: nobody else may have it; `none`: somebody may."""
    for served in walk.all:
        if served.attribute.get("uniqueness") == "server":
            value = served.of(walk.resource(served)).swapcase()
            answer = await walk.post(served, value, {})
            if not refused(answer, "uniqueness", 409):
                yield f"{served.path}: a second one was {answer}"
        elif served.parent is None and not served.is_read_only:
            value = served.of(walk.resource(served))
            answer = await walk.post(served, f"Second {served.path}", served.inside(value))
            if answer.status != 201:
                yield f"{served.path}: a second one was {answer}"


async def references(walk: Walk) -> AsyncIterator[str]:
    """`referenceTypes`: where an address of ours leads, there is a resource of that type."""
    for served in walk.all:
        types = served.attribute.get("referenceTypes")
        if types is None or types == ["external"]:
            continue
        address = served.of(walk.resource(served))
        if not any(f"/{name}s/" in address for name in types):
            yield f"{served.path}: {address} is no {types}"
        found = await walk.client.call("GET", address.removeprefix(walk.client.base))
        if found.status != 200 or found.body["meta"]["resourceType"] not in types:
            yield f"{served.path}: {address} leads to {found}"


CHECKS = (
    kinds, requirements, mutability, suggestions, comparisons, projections, uniqueness, references,
)  # fmt: skip


async def begin(client: Client) -> Walk:
    """A manager, a user with every attribute, a group with that user, and the served schemas."""
    schemas = (await client.call("GET", "/Schemas")).body["Resources"]
    found = list(all_served(schemas))
    manager = await client.create_user("boss@example.com", displayName="Boss")
    body: Json = {"schemas": [USER, ENTERPRISE], ENTERPRISE: {}}
    for served in found:
        if served.parent is None and served.endpoint == "/Users" and not served.is_read_only:
            value = valid(served.attribute)
            value = [value] if served.attribute["multiValued"] else value
            target = body[ENTERPRISE] if served.urn == ENTERPRISE else body
            target[served.attribute["name"]] = value
    body[ENTERPRISE]["manager"] = {"value": manager.body["id"]}
    user = await client.call("POST", "/Users", body)
    assert user.status == 201, user
    group = await client.call(
        "POST",
        "/Groups",
        {"schemas": [GROUP], "displayName": "Abc", "members": [{"value": user.body["id"]}]},
    )
    assert group.status == 201, group
    read = await client.call("GET", f"/Users/{user.body['id']}")
    return Walk(client, found, read.body, group.body)


async def test_every_characteristic_that_schemas_serves_is_kept(whole_stack: Stack) -> None:
    organisation = await whole_stack.organisation()
    surprises = []

    async with whole_stack.client(organisation) as client:
        walk = await begin(client)
        for check in CHECKS:
            surprises += [f"{check.__name__}: {each}" async for each in check(walk)]

    assert len(walk.all) > 80
    assert not surprises, "\n".join(surprises)
