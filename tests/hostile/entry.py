"""One hostile request of the catalogue, and how it becomes bytes. No test in here.

Texts may hold names in double angle brackets, which the runner fills in: `<<key>>`, `<<base>>`
(`/v2/ORGANISATION`), `<<organisation>>`, `<<member>>`, `<<group>>` are the asker's own, the same
with `victim_` in front are another organisation's, `<<victim_version>>` is a version of its member,
`<<victim_name>>` its userName, `<<n>>` a number that no other entry has, and `<<mark>>` a word that
must be in no log, no metric and no error.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

Profile = Literal["compatible", "interop"]
Headers = tuple[tuple[str, str], ...]
KEY: Headers = (("Authorization", "Bearer <<key>>"),)
JSON: Headers = (("Content-Type", "application/scim+json"),)


@dataclass(frozen=True, slots=True)
class Entry:
    """A request, the statuses that are right for it, and why.

    `target` is the whole request target. `headers` are sent as they are, in Latin-1; Host and
    Content-Length are added unless `raw` is the whole message. `never` are texts that the answer
    must not hold. `may_close` says that a connection closed without an answer is right as well.
    """

    name: str
    why: str
    expected: frozenset[int]
    method: str = "GET"
    target: str = "<<base>>/Users"
    headers: Headers = KEY
    body: bytes | None = None
    raw: bytes | None = None
    profile: Profile = "compatible"
    never: tuple[str, ...] = ()
    may_close: bool = False

    def message(self, names: Mapping[str, str]) -> bytes:
        """The bytes to send, with every name filled in."""
        if self.raw is not None:
            return fill(self.raw, names)
        body = None if self.body is None else fill(self.body, names)
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: rollcall.example"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return fill(head, names) + (body or b"")

    def forbidden(self, names: Mapping[str, str]) -> list[bytes]:
        """What the answer must not hold."""
        return [fill(text.encode(), names) for text in self.never]


def fill(text: bytes, names: Mapping[str, str]) -> bytes:
    """The text with every `<<name>>` replaced."""
    if b"<<" in text:
        for name, value in names.items():
            text = text.replace(b"<<" + name.encode() + b">>", value.encode())
    return text


def get(
    name: str, target: str, expected: Iterable[int], why: str, *, headers: Headers = (), **more: Any
) -> Entry:
    """A GET below the SCIM base; `target` is sent as it is."""
    return Entry(
        name, why, frozenset(expected), target=f"<<base>>{target}", headers=KEY + headers, **more
    )


def search(name: str, text: str, expected: Iterable[int], why: str, **more: Any) -> Entry:
    """A list of Users with a filter, which is percent-encoded here."""
    encoded = quote(text.encode("utf-8", "surrogatepass"), safe="<>")
    return get(name, f"/Users?filter={encoded}", expected, why, **more)


def send(
    name: str,
    method: str,
    target: str,
    body: Any,
    expected: Iterable[int],
    why: str,
    *,
    headers: Headers = (),
    **more: Any,
) -> Entry:
    """A request with a body below the SCIM base: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers = JSON + headers
    return Entry(
        name,
        why,
        frozenset(expected),
        method=method,
        target=f"<<base>>{target}",
        headers=KEY + headers,
        body=raw,
        **more,
    )


def user(expected: Iterable[int], name: str, why: str, /, **attributes: Any) -> Entry:
    """A create of a User whose name nobody else has, with these attributes over it.

    `profile_` and `never_` are the entry's; a name with two underscores at its end loses them.
    """
    more = {
        key.rstrip("_"): attributes.pop(key) for key in ("profile_", "never_") if key in attributes
    }
    body: dict[str, Any] = {
        "schemas": [USER],
        "userName": "hostile<<n>>@asker.example",
        **{key.removesuffix("__"): value for key, value in attributes.items()},
    }
    return send(name, "POST", "/Users", body, expected, why, **more)


def patch(
    name: str,
    operations: Any,
    expected: Iterable[int],
    why: str,
    /,
    *,
    of: str = "member",
    **more: Any,
) -> Entry:
    """A PATCH of the asker's own member, or of its own group."""
    target = "/Users/<<member>>" if of == "member" else "/Groups/<<group>>"
    body = {"schemas": [PATCH], "Operations": operations}
    return send(name, "PATCH", target, body, expected, why, **more)
